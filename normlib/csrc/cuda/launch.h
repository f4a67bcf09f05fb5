// Launches, and the choice of a kernel's template arguments.

#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "element.h"
#include "shared_memory.h"
#include "tiling.h"

namespace normlib::cuda {

inline const char* error_text(cudaError_t error) {
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

struct LaunchShape {
  unsigned blocks;
  unsigned threads = kThreads;
  size_t shared_memory = 0;
  bool cooperative = false;
};

template <typename... Parameters>
const char* launch(void (*kernel)(Parameters...), const LaunchShape& shape, void* stream,
                   const Parameters&... arguments) {
  if (shape.shared_memory > kDefaultSharedMemory) {
    const cudaError_t error = cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                                   cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                   static_cast<int>(shape.shared_memory));
    if (error != cudaSuccess) return cudaGetErrorString(error);
  }
  cudaLaunchAttribute cooperative{};
  cooperative.id = cudaLaunchAttributeCooperative;
  cooperative.val.cooperative = shape.cooperative;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(shape.blocks);
  config.blockDim = dim3(shape.threads);
  config.dynamicSmemBytes = shape.shared_memory;
  config.stream = static_cast<cudaStream_t>(stream);
  config.attrs = &cooperative;
  config.numAttrs = 1;
  return error_text(cudaLaunchKernelEx(&config, kernel, arguments...));
}

template <typename T_, int V_, bool channels_last_>
struct Variant {
  using T = T_;
  static constexpr int V = V_;
  static constexpr bool channels_last = channels_last_;
};

template <typename Function>
auto with_type(const Problem& problem, Function function) {
  switch (problem.dtype) {
    case DataType::float64: return function(double{});
    case DataType::float16: return function(__half{});
    case DataType::bfloat16: return function(__nv_bfloat16{});
    default: return function(float{});
  }
}

template <typename T, int V, typename Function>
auto with_layout(const Problem& problem, Function function) {
  return problem.channels_last ? function(Variant<T, V, true>{}) : function(Variant<T, V, false>{});
}

// Calls function with the Variant of vectors of 16 bytes that serves the problem.
template <typename Function>
auto with_vectors(const Problem& problem, Function function) {
  return with_type(problem, [&](auto zero) {
    using T = decltype(zero);
    return with_layout<T, kVectorSize<T>>(problem, function);
  });
}

// Calls function with the Variant that serves the problem.
template <typename Function>
auto with_variant(const Problem& problem, const Tiling& tiling, Function function) {
  if (tiling.vector > 1) return with_vectors(problem, function);
  return with_type(problem,
                   [&](auto zero) { return with_layout<decltype(zero), 1>(problem, function); });
}

// Calls function with a zero of the accumulation type.
template <typename Function>
auto with_accumulation(const Problem& problem, Function function) {
  return problem.dtype == DataType::float64 ? function(double{}) : function(float{});
}

}  // namespace normlib::cuda
