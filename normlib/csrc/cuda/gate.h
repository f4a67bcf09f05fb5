// The gradient of the output before the ReLU.

#pragma once

#include "mixture.h"
#include "sweep.h"

namespace normlib::cuda {

enum class GateKind { open, mask, recomputed };

__device__ __forceinline__ GateKind gate_kind(const Problem& p) {
  if (!p.settings.relu) return GateKind::open;
  return p.mask == nullptr ? GateKind::recomputed : GateKind::mask;
}

// Vectors of x and of the gradient, loaded together.
template <typename T, typename ThreadShare, int width, int count>
class GatedBatch {
 public:
  using A = Accumulation<T>;

  __device__ __forceinline__ GatedBatch(const Problem& p, const ThreadShare& share,
                                        const Batch<width>& batch)
      : kind_(gate_kind(p)) {
#pragma unroll
    for (int k = 0; k < count; ++k) {
      if (!batch.has(k)) continue;
      x_[k] = load<width>(static_cast<const T*>(p.x) + batch.at(k));
      grad_[k] = load<width>(static_cast<const T*>(p.grad) + batch.at(k));
      if (kind_ == GateKind::mask) {
        const int vector = batch.index + k * batch.step;
        bits_[k] = p.mask[share.mask_byte(vector)] >> share.mask_bit(vector);
      }
    }
  }

  __device__ __forceinline__ A x(int k, int j) const { return x_[k].get(j); }

  // output: the affine map of the forward pass, used where its sign is the gate.
  __device__ __forceinline__ A grad(int k, int j, const Affine<A>& output) const {
    const A grad = grad_[k].get(j);
    switch (kind_) {
      case GateKind::open: return grad;
      case GateKind::mask: return bits_[k] >> j & 1 ? grad : A(0);
      default: return output(x(k, j)) <= 0 ? A(0) : grad;  // NaN passes
    }
  }

 private:
  GateKind kind_;
  Vector<T, width> x_[count], grad_[count];
  unsigned bits_[count];
};

}  // namespace normlib::cuda
