// The shared memory of a block.

#pragma once

#include <cuda_runtime.h>

namespace normlib::cuda {

// What a block gets without asking.
constexpr size_t kDefaultSharedMemory = 48 * 1024;

// All that the launch gave, from its first byte.
template <typename T>
__device__ __forceinline__ T* shared_memory() {
  extern __shared__ __align__(16) unsigned char shared_bytes[];
  return reinterpret_cast<T*>(shared_bytes);
}

}  // namespace normlib::cuda
