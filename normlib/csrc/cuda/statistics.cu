#include "launch.h"
#include "merge_moments.h"

namespace normlib::cuda {
namespace {

template <typename T, int V, bool channels_last>
__global__ __launch_bounds__(kThreads) void moments_kernel(Problem p, Tiling t,
                                                           Partials<PartMoments> partials) {
  part_moments<T, V, channels_last>(p, t, blockIdx.x, partials, shared_memory<Accumulation<T>>(),
                                    NoCache{});
}

template <typename A>
__global__ __launch_bounds__(kMergeThreads) void merge_moments_kernel(
    Problem p, Partials<PartMoments> partials, unsigned channel_blocks) {
  merge_moments<A>(p, partials, channel_blocks, blockIdx.x, shared_memory<double>());
}

// Fills in the statistics given, and 0 for the others.
template <typename A>
__global__ __launch_bounds__(kThreads) void no_sweep_kernel(Problem p) {
  const int64_t first = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const int64_t step = int64_t{gridDim.x} * kThreads;
  for (int64_t i = first; i < p.samples * p.channels; i += step) {
    static_cast<A*>(p.offset)[i] = 0;
    static_cast<A*>(p.variance)[i] = 0;
  }
  for (int64_t i = first; i < 2 * p.samples; i += step) p.layer[i] = 0;
  for (int64_t c = first; c < p.channels; c += step) {
    p.channel[1 + c] = element_or<A>(p.fixed_mean, c, 0);
    p.channel[1 + p.channels + c] = element_or<A>(p.fixed_var, c, 0);
  }
  if (first == 0) p.channel[0] = static_cast<double>(p.samples * p.positions);
}

}  // namespace

const char* statistics(const Problem& p, const Device& device, void* workspace, void* stream) {
  if (needs_no_sweep(p)) {
    return with_accumulation(p, [&](auto zero) {
      return launch(no_sweep_kernel<decltype(zero)>,
                    {static_cast<unsigned>(device.multiprocessors)}, stream, p);
    });
  }
  const Tiling t = reduction_tiling(p, device);
  const Partials<PartMoments> partials(p, t, workspace);
  const char* error = with_variant(p, t, [&](auto variant) {
    using K = decltype(variant);
    return launch(moments_kernel<typename K::T, K::V, K::channels_last>,
                  {t.blocks, kThreads, group_sum_bytes(kThreads)}, stream, p, t, partials);
  });
  if (error != nullptr) return error;
  return with_accumulation(p, [&](auto zero) {
    const unsigned threads = merge_threads(p, t.parts);
    return launch(merge_moments_kernel<decltype(zero)>,
                  {merge_blocks(p), threads, group_sum_bytes(threads)}, stream, p, partials,
                  channel_blocks(p));
  });
}

}  // namespace normlib::cuda
