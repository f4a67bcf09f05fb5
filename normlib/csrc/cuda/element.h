// Elements in memory, and vectors of them that one instruction moves.

#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "tiling.h"

namespace normlib::cuda {

// The type that sweeps compute in.
template <typename T>
struct AccumulationOf {
  using type = float;
};
template <>
struct AccumulationOf<double> {
  using type = double;
};
template <typename T>
using Accumulation = typename AccumulationOf<T>::type;

template <typename A, typename T>
__device__ __forceinline__ A widen(T value) {
  if constexpr (std::is_same_v<T, __half>) {
    return __half2float(value);
  } else if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    return __bfloat162float(value);
  } else {
    return value;
  }
}

template <typename T, typename A>
__device__ __forceinline__ T narrow(A value) {
  if constexpr (std::is_same_v<T, __half>) {
    return __float2half_rn(value);
  } else if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    return __float2bfloat16_rn(value);
  } else {
    return value;
  }
}

template <typename T>
constexpr int kVectorSize = kVectorBytes / sizeof(T);

template <typename T, int size>
struct alignas(sizeof(T) * size) Vector {
  using A = Accumulation<T>;
  T values[size];

  __device__ __forceinline__ A get(int j) const { return widen<A>(values[j]); }
  __device__ __forceinline__ void set(int j, A value) { values[j] = narrow<T>(value); }
};

// Pairs of bfloat16 stay together in a register until they are used: taken apart when they are
// loaded, as the compiler does with an array of them, they fill twice as many.
template <>
struct alignas(kVectorBytes) Vector<__nv_bfloat16, 8> {
  uint32_t pairs[4];

  __device__ __forceinline__ float get(int j) const {
    return __uint_as_float(j % 2 == 0 ? pairs[j / 2] << 16 : pairs[j / 2] & 0xffff0000u);
  }
  __device__ __forceinline__ void set(int j, float value) {
    const uint32_t bits = __bfloat16_as_ushort(__float2bfloat16_rn(value));
    pairs[j / 2] = j % 2 == 0 ? bits : pairs[j / 2] | bits << 16;  // in this order
  }
};

template <int size, typename T>
__device__ __forceinline__ Vector<T, size> load(const T* source) {
  return *reinterpret_cast<const Vector<T, size>*>(source);
}

template <typename T, int size>
__device__ __forceinline__ void store(T* target, const Vector<T, size>& vector) {
  *reinterpret_cast<Vector<T, size>*>(target) = vector;
}

}  // namespace normlib::cuda
