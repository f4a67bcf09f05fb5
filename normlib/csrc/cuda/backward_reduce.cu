#include <algorithm>
#include <type_traits>

#include "gate.h"
#include "launch.h"
#include "merge_gradients.h"

namespace normlib::cuda {
namespace {

template <typename A>
struct Centre {
  A mean;
  Affine<A> output;
};

template <typename T, typename ThreadShare>
class GradientSweep {
 public:
  using A = Accumulation<T>;
  static constexpr int kChannels = ThreadShare::kChannels;

  __device__ __forceinline__ GradientSweep(const Problem& p, const ThreadShare& share,
                                           const Centre<A> (&centres)[kChannels])
      : p_(p), share_(share), centres_(centres) {}

  template <int width, int count>
  __device__ __forceinline__ void visit(const Batch<width>& batch) {
    const GatedBatch<T, ThreadShare, width, count> gated(p_, share_, batch);
#pragma unroll
    for (int k = 0; k < count; ++k) {
      if (!batch.has(k)) continue;
#pragma unroll
      for (int j = 0; j < width; ++j) {
        const int c = j % kChannels;
        const A grad = gated.grad(k, j, centres_[c].output);
        sums[2 * c] += grad;
        sums[2 * c + 1] = fma(grad, gated.x(k, j) - centres_[c].mean, sums[2 * c + 1]);
      }
    }
  }

  A sums[2 * kChannels] = {};

 private:
  const Problem& p_;
  const ThreadShare& share_;
  const Centre<A> (&centres_)[kChannels];
};

template <typename T, int V, bool channels_last>
__global__ __launch_bounds__(kThreads) void gradient_sums_kernel(
    Problem p, Tiling t, Partials<PartGradients<Accumulation<T>>> partials) {
  using A = Accumulation<T>;
  using ThreadShare = Share<T, V, channels_last>;
  constexpr int channels = ThreadShare::kChannels;

  Centre<A> centres[channels];
  coefficients(p, t, blockIdx.x, shared_memory<Centre<A>>(), centres, [&](int64_t n, int64_t c) {
    Centre<A> centre{static_cast<A>(instance_mean<A>(p, n, c)), {}};
    if (gate_kind(p) == GateKind::recomputed) {
      centre.output = output_affine(Mixture<A>(p, n, c));
    }
    return centre;
  });
  const Place place(p, t, blockIdx.x);
  const ThreadShare share(p, t, place);
  GradientSweep<T, ThreadShare> sweep(p, share, centres);
  // Two tensors: half as many vectors of each.
  share.template sweep<kBatch / 2>(sweep);
  group_sum(sweep.sums, t.columns, t.lanes, shared_memory<A>());
  if (!place.active || place.lane != 0) return;
  PartGradients<A> results[channels];
#pragma unroll
  for (int c = 0; c < channels; ++c) results[c] = {sweep.sums[2 * c], sweep.sums[2 * c + 1]};
  partials.store(p, place, results);
}

template <typename A>
__global__ __launch_bounds__(kMergeThreads) void merge_gradients_kernel(
    Problem p, Partials<PartGradients<A>> partials, unsigned channel_blocks) {
  if (blockIdx.x < channel_blocks) {
    merge_channel_gradients(p, partials, blockIdx.x, shared_memory<double>());
  } else {
    merge_layer_gradients(p, partials, blockIdx.x - channel_blocks, shared_memory<double>());
  }
}

}  // namespace

const char* backward_reduce(const Problem& p, const Device& device, void* workspace, void* stream) {
  const Tiling t = reduction_tiling(p, device);
  return with_accumulation(p, [&](auto zero) {
    using A = decltype(zero);
    const Partials<PartGradients<A>> partials(p, t, workspace);
    if (!empty(p)) {
      const char* error = with_variant(p, t, [&](auto variant) -> const char* {
        using K = decltype(variant);
        if constexpr (std::is_same_v<Accumulation<typename K::T>, A>) {
          const size_t shared =
              std::max(group_sum_bytes(kThreads), coefficients_bytes<Centre<A>>(p, t));
          return launch(gradient_sums_kernel<typename K::T, K::V, K::channels_last>,
                        {t.blocks, kThreads, shared}, stream, p, t, partials);
        }
        return nullptr;
      });
      if (error != nullptr) return error;
    }
    const unsigned threads = merge_threads(p, t.parts);
    return launch(merge_gradients_kernel<A>, {merge_blocks(p), threads, group_sum_bytes(threads)},
                  stream, p, partials, channel_blocks(p));
  });
}

}  // namespace normlib::cuda
