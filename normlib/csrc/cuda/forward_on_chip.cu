// Statistics and output in one launch: what a block has loaded for the statistics stays in its
// shared memory until the output is written, so that x is read once.

#include <cooperative_groups.h>

#include <algorithm>

#include "launch.h"
#include "merge_moments.h"
#include "output.h"

namespace normlib::cuda {
namespace {

// Two blocks on a multiprocessor: one waits for memory or the grid while the other computes.
constexpr int kResidentBlocks = 2;

// What CUDA takes of a multiprocessor's shared memory for each block.
constexpr size_t kReservedBytes = 1024;

// The vectors of a block's threads. Single elements, at the ends of rows, are read from x again.
template <typename T, int V>
struct Kept {
  const T* x;
  Vector<T, V>* vectors;

  __device__ __forceinline__ Vector<T, V>& slot(const Batch<V>& batch, int k) const {
    return vectors[(batch.index / batch.step + k) * kThreads + threadIdx.x];
  }

  template <int count>
  __device__ __forceinline__ void keep(const Batch<V>& batch, const Vector<T, V> (&x)[count]) {
#pragma unroll
    for (int k = 0; k < count; ++k) {
      if (batch.has(k)) slot(batch, k) = x[k];
    }
  }

  template <int width>
  __device__ __forceinline__ Vector<T, width> load(int k, const Batch<width>& batch) const {
    if constexpr (width == V) return slot(batch, k);
    return cuda::load<width>(x + batch.at(k));
  }
};

// How shared memory is used: scratch first, then the vectors of one block of the tiling after
// another.
struct Chip {
  unsigned blocks;  // of the launch
  int vectors;      // of a thread, in a block of the tiling
  size_t scratch_bytes;
  size_t bytes;

  Chip(const Problem& p, const Tiling& t, const Device& device, size_t coefficient_bytes) {
    blocks = std::min(t.blocks, static_cast<unsigned>(kResidentBlocks * device.multiprocessors));
    const int64_t length = std::min(t.part_size, p.positions);
    const int64_t of_part = p.channels_last ? length : length / t.vector;
    vectors = static_cast<int>((of_part + t.lanes - 1) / t.lanes);
    scratch_bytes = std::max(group_sum_bytes(kThreads), coefficient_bytes);
    const size_t turns = (t.blocks + blocks - 1) / blocks;
    bytes = scratch_bytes + turns * vectors * kThreads * kVectorBytes;
  }
};

size_t available_bytes(const Device& device) {
  return (device.shared_memory + kReservedBytes) / kResidentBlocks - kReservedBytes;
}

template <typename T, int V, bool channels_last>
__global__ __launch_bounds__(kThreads, kResidentBlocks) void forward_kernel(
    Problem p, Tiling t, Partials<PartMoments> partials, Chip chip, unsigned channel_blocks,
    unsigned merge_blocks) {
  using A = Accumulation<T>;
  using ThreadShare = Share<T, V, channels_last>;
  const auto grid = cooperative_groups::this_grid();
  const auto kept_in_turn = [&](unsigned block) {
    auto* vectors =
        reinterpret_cast<Vector<T, V>*>(shared_memory<unsigned char>() + chip.scratch_bytes);
    return Kept<T, V>{static_cast<const T*>(p.x),
                      vectors + block / gridDim.x * chip.vectors * kThreads};
  };

  for (unsigned block = blockIdx.x; block < t.blocks; block += gridDim.x) {
    part_moments<T, V, channels_last>(p, t, block, partials, shared_memory<A>(),
                                      kept_in_turn(block));
  }
  grid.sync();
  for (unsigned block = blockIdx.x; block < merge_blocks; block += gridDim.x) {
    merge_moments<A>(p, partials, channel_blocks, block, shared_memory<double>());
  }
  grid.sync();
  for (unsigned block = blockIdx.x; block < t.blocks; block += gridDim.x) {
    __syncthreads();  // the coefficients of the last turn have been read
    Affine<A> affine[ThreadShare::kChannels];
    coefficients(p, t, block, shared_memory<Affine<A>>(), affine,
                 [&](int64_t n, int64_t c) { return output_affine(Mixture<A>(p, n, c)); });
    const ThreadShare share(p, t, Place(p, t, block));
    Output<T, ThreadShare, Kept<T, V>> output(p, share, kept_in_turn(block), affine);
    share.template sweep<kBatch>(output);
  }
}

// Calls function with what a launch needs.
template <typename Function>
auto with_chip(const Problem& p, const Device& device, Function function) {
  const Tiling t = reduction_tiling(p, device);
  return with_accumulation(p, [&](auto zero) {
    return function(t, Chip(p, t, device, coefficients_bytes<Affine<decltype(zero)>>(p, t)));
  });
}

}  // namespace

bool fits_on_chip(const Problem& p, const Device& device) {
  if (!device.cooperative || needs_no_sweep(p) || p.batch != p.channel) return false;
  return with_chip(p, device, [&](const Tiling& t, const Chip& chip) {
    return t.vector > 1 && chip.bytes <= available_bytes(device);
  });
}

const char* forward_on_chip(const Problem& p, const Device& device, void* workspace, void* stream) {
  return with_chip(p, device, [&](const Tiling& t, const Chip& chip) {
    const Partials<PartMoments> partials(p, t, workspace);
    return with_vectors(p, [&](auto variant) {
      using K = decltype(variant);
      return launch(forward_kernel<typename K::T, K::V, K::channels_last>,
                    {chip.blocks, kThreads, chip.bytes, true}, stream, p, t, partials, chip,
                    channel_blocks(p), merge_blocks(p));
    });
  });
}

}  // namespace normlib::cuda
