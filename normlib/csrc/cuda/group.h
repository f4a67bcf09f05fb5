// Sums over the lanes of a group, in an order that depends on the tiling alone.

#pragma once

#include <cuda_runtime.h>

#include "tiling.h"

namespace normlib::cuda {

// Shared memory for the sums of a block of `threads`: the columns of a warp, each with two sums for
// every element of its vectors, take up to 512 bytes.
constexpr size_t group_sum_bytes(int threads) { return threads / kWarp * 512; }

// Leaves in every thread the sums over the threads of its group in its column. Called by all
// threads of the block; those of a group are columns * lanes successive ones. shared:
// group_sum_bytes.
template <int count, typename A>
__device__ __forceinline__ void group_sum(A (&values)[count], int columns, int lanes, A* shared) {
  const int size = columns * lanes;
  for (int offset = columns; offset < kWarp && offset < size; offset *= 2) {
#pragma unroll
    for (int i = 0; i < count; ++i) {
      values[i] += __shfl_xor_sync(0xffffffffu, values[i], offset);
    }
  }
  if (size <= kWarp) return;

  const int thread = threadIdx.x;
  const int warps = size / kWarp;
  const int first_warp = thread / size * warps;
  const int column = thread % columns;
  __syncthreads();  // the previous sum has been read
  if (thread % kWarp < columns) {
#pragma unroll
    for (int i = 0; i < count; ++i) {
      shared[(thread / kWarp * columns + column) * count + i] = values[i];
    }
  }
  __syncthreads();
#pragma unroll
  for (int i = 0; i < count; ++i) {
    A sum = 0;
    for (int warp = first_warp; warp < first_warp + warps; ++warp) {
      sum += shared[(warp * columns + column) * count + i];
    }
    values[i] = sum;
  }
}

}  // namespace normlib::cuda
