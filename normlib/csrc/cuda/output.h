// The sweep that writes y and the mask.

#pragma once

#include "mixture.h"
#include "sweep.h"

namespace normlib::cuda {

// source.load(k, batch) is vector k of x.
template <typename T, typename ThreadShare, typename Source>
class Output {
 public:
  using A = Accumulation<T>;
  static constexpr int kChannels = ThreadShare::kChannels;

  __device__ __forceinline__ Output(const Problem& p, const ThreadShare& share, Source source,
                                    const Affine<A> (&affine)[kChannels])
      : p_(p), share_(share), source_(source), affine_(affine) {}

  template <int width, int count>
  __device__ __forceinline__ void visit(const Batch<width>& batch) {
    const T* residual = static_cast<const T*>(p_.residual);
    Vector<T, width> x[count], r[count];
#pragma unroll
    for (int k = 0; k < count; ++k) {
      if (!batch.has(k)) continue;
      x[k] = source_.load(k, batch);
      if (residual != nullptr) r[k] = load<width>(residual + batch.at(k));
    }
#pragma unroll
    for (int k = 0; k < count; ++k) {
      unsigned positive = 0;  // bit j of a vector's element j
      if (batch.has(k)) {
        Vector<T, width> y;
#pragma unroll
        for (int j = 0; j < width; ++j) {
          A value = affine_[j % kChannels](x[k].get(j));
          if (residual != nullptr) value += r[k].get(j);
          if (!(value <= 0)) positive |= 1u << j;
          // NaN stays.
          y.set(j, p_.settings.relu && value <= 0 ? A(0) : value);
        }
        store(static_cast<T*>(p_.y) + batch.at(k), y);
      }
      if (p_.mask != nullptr) store_mask(batch, k, positive);
    }
  }

 private:
  // A byte's bits come from 8 / width threads side by side, which all call this.
  template <int width>
  __device__ __forceinline__ void store_mask(const Batch<width>& batch, int k, unsigned positive) {
    const int vector = batch.index + k * batch.step;
    unsigned bits = positive << share_.mask_bit(vector);
    constexpr int threads = 8 / width;
    const unsigned lane = threadIdx.x % kWarp;
    const unsigned members = ((1u << threads) - 1) << (lane / threads * threads);
#pragma unroll
    for (int offset = 1; offset < threads; offset *= 2) {
      bits |= __shfl_xor_sync(members, bits, offset);
    }
    if (batch.has(k) && lane % threads == 0) {
      p_.mask[share_.mask_byte(vector)] = static_cast<uint8_t>(bits);
    }
  }

  const Problem& p_;
  const ThreadShare& share_;
  Source source_;
  const Affine<A> (&affine_)[kChannels];
};

}  // namespace normlib::cuda
