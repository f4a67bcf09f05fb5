#include <algorithm>

#include "gate.h"
#include "group.h"
#include "launch.h"

namespace normlib::cuda {
namespace {

// dx = grad * dy + x(x).
template <typename A>
struct InputAffine {
  A grad;
  Affine<A> x;
  Affine<A> output;  // for the gate
};

template <typename A>
__device__ __forceinline__ InputAffine<A> input_affine(const Problem& p, int64_t n, int64_t c) {
  const Mixture<A> m(p, n, c);
  const A* sums = static_cast<const A*>(p.sums) + 2 * (n * p.channels + c);
  const MixedGradient gradient =
      mixed_gradient(static_cast<double>(sums[0]), static_cast<double>(sums[1]), m.mixed, m.weight);
  GradientSums totals{};
  double batch_share = 0;
  if (p.settings.normalizers & kLayer) {
    totals.layer_mean = p.layer_grad[7 * n];
    totals.layer_var = p.layer_grad[7 * n + 1];
  }
  if ((p.settings.normalizers & kBatch) && p.fixed_mean == nullptr) {
    totals.batch_mean = p.channel_grad[c];
    totals.batch_var = p.channel_grad[p.channels + c];
    batch_share = static_cast<double>(p.positions) / p.batch[0];
  }
  const InputGradient input = input_gradient(
      gradient, m.statistics, totals, m.ratios, m.mixed, m.weight, 1.0 / static_cast<double>(p.channels),
      1.0 / static_cast<double>(p.positions), batch_share, p.settings.instance_factor(p.positions));
  return {static_cast<A>(input.grad), Affine<A>(m.statistics.mean, input.x, input.shift),
          output_affine(m)};
}

template <typename T, typename ThreadShare>
class InputSweep {
 public:
  using A = Accumulation<T>;
  static constexpr int kChannels = ThreadShare::kChannels;

  __device__ __forceinline__ InputSweep(const Problem& p, const ThreadShare& share,
                                        const InputAffine<A> (&affine)[kChannels])
      : p_(p), share_(share), affine_(affine) {}

  template <int width, int count>
  __device__ __forceinline__ void visit(const Batch<width>& batch) {
    const GatedBatch<T, ThreadShare, width, count> gated(p_, share_, batch);
#pragma unroll
    for (int k = 0; k < count; ++k) {
      if (!batch.has(k)) continue;
      Vector<T, width> dx, dresidual;
#pragma unroll
      for (int j = 0; j < width; ++j) {
        const InputAffine<A>& affine = affine_[j % kChannels];
        const A grad = gated.grad(k, j, affine.output);
        dresidual.set(j, grad);
        dx.set(j, fma(affine.grad, grad, affine.x(gated.x(k, j))));
      }
      if (p_.dx != nullptr) store(static_cast<T*>(p_.dx) + batch.at(k), dx);
      if (p_.dresidual != nullptr) store(static_cast<T*>(p_.dresidual) + batch.at(k), dresidual);
    }
  }

 private:
  const Problem& p_;
  const ThreadShare& share_;
  const InputAffine<A> (&affine_)[kChannels];
};

// Fills dmean_ratios and dvar_ratios; one block.
template <typename A>
__device__ __forceinline__ void sum_ratio_gradients(const Problem& p, double* shared) {
  double totals[5] = {};
  for (int64_t n = threadIdx.x; n < p.samples; n += kThreads) {
#pragma unroll
    for (int i = 0; i < 5; ++i) totals[i] += p.layer_grad[7 * n + 2 + i];
  }
  group_sum(totals, 1, kThreads, shared);
  if (threadIdx.x != 0) return;
  const double means[3] = {0, totals[0], totals[1]};
  for (int k = 0, i = 0; k < 3; ++k) {
    if ((p.settings.normalizers >> k & 1) == 0) continue;
    if (p.dmean_ratios != nullptr) static_cast<A*>(p.dmean_ratios)[i] = static_cast<A>(means[k]);
    if (p.dvar_ratios != nullptr) {
      static_cast<A*>(p.dvar_ratios)[i] = static_cast<A>(totals[2 + k]);
    }
    ++i;
  }
}

template <typename T, int V, bool channels_last>
__global__ __launch_bounds__(kThreads) void input_gradient_kernel(Problem p, Tiling t) {
  using A = Accumulation<T>;
  using ThreadShare = Share<T, V, channels_last>;
  if (blockIdx.x == 0) {
    sum_ratio_gradients<A>(p, shared_memory<double>());
    return;
  }
  // From the end of x and grad, which the sums have read last.
  const unsigned block = gridDim.x - 1 - blockIdx.x;
  InputAffine<A> affine[ThreadShare::kChannels];
  coefficients(p, t, block, shared_memory<InputAffine<A>>(), affine,
               [&](int64_t n, int64_t c) { return input_affine<A>(p, n, c); });
  const ThreadShare share(p, t, Place(p, t, block));
  InputSweep<T, ThreadShare> sweep(p, share, affine);
  // Two tensors: half as many vectors of each.
  share.template sweep<kBatch / 2>(sweep);
}

}  // namespace

const char* backward_apply(const Problem& p, const Device& device, void* stream) {
  const Tiling t = elementwise_tiling(p, device);
  const bool sweeps = !empty(p) && (p.dx != nullptr || p.dresidual != nullptr);
  return with_variant(p, t, [&](auto variant) {
    using K = decltype(variant);
    using A = Accumulation<typename K::T>;
    const size_t shared =
        std::max(group_sum_bytes(kThreads), coefficients_bytes<InputAffine<A>>(p, t));
    return launch(input_gradient_kernel<typename K::T, K::V, K::channels_last>,
                  {sweeps ? t.blocks + 1 : 1, kThreads, shared}, stream, p, t);
  });
}

}  // namespace normlib::cuda
