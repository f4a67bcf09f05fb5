// Enough of CUDA for g++ to compile the kernels of normlib/csrc/cuda unchanged and run them here.
//
// Each thread of a block is a fiber; fibers take turns at barriers and shuffles. Blocks run one
// after another, those of a cooperative launch each on a thread of the host. Shared memory starts
// as NaN. A launch reports an error where a barrier or shuffle waits for threads that never come,
// and where a block writes beyond its shared memory.

#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
// Of a host thread, and so of a block.
#define __shared__ __thread

using std::fma;
using std::isfinite;

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

struct Index {
  unsigned x;
};

extern __thread Index threadIdx, blockIdx, blockDim, gridDim;

namespace emulation {

void synchronize_block();
void synchronize_grid();

// The 64 bits that lane `source` of this warp gives in the same call.
uint64_t exchange(unsigned members, uint64_t own, unsigned source);

struct Launch {
  unsigned blocks, threads;
  size_t shared_memory;
  bool cooperative;
};

const char* run(const Launch& launch, const std::function<void()>& kernel);

}  // namespace emulation

inline void __syncthreads() { emulation::synchronize_block(); }

template <typename T>
T __shfl_xor_sync(unsigned members, T value, int lanes) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = emulation::exchange(members, bits, (threadIdx.x % 32) ^ lanes);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

inline float __uint_as_float(unsigned bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

// An error is its text.
using cudaError_t = const char*;
constexpr cudaError_t cudaSuccess = nullptr;
inline const char* cudaGetErrorString(cudaError_t error) { return error; }

using cudaStream_t = void*;

enum cudaDeviceAttr {
  cudaDevAttrMultiProcessorCount,
  cudaDevAttrMaxSharedMemoryPerBlockOptin,
  cudaDevAttrCooperativeLaunch,
};

inline cudaError_t cudaDeviceGetAttribute(int*, cudaDeviceAttr, int) {
  return "there is no device";
}

enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };

inline cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute, int) { return cudaSuccess; }

enum cudaLaunchAttributeID { cudaLaunchAttributeCooperative };

struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  struct {
    int cooperative;
  } val;
};

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
  cudaLaunchAttribute* attrs;
  unsigned numAttrs;
};

template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               const Arguments&... arguments) {
  const emulation::Launch launch{config->gridDim.x, config->blockDim.x, config->dynamicSmemBytes,
                                 config->numAttrs > 0 && config->attrs[0].val.cooperative != 0};
  return emulation::run(launch, [&] { kernel(arguments...); });
}
