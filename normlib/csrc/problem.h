// The arguments of the kernels: raw pointers and sizes, no header of PyTorch.

#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#define NORMLIB_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define NORMLIB_HOST_DEVICE inline
#endif

namespace normlib {

enum class DataType { float32, float64, float16, bfloat16 };

inline int64_t bytes_of(DataType dtype) {
  return dtype == DataType::float64 ? 8 : dtype == DataType::float32 ? 4 : 2;
}

// Bits of Settings::normalizers, and positions in normlib::Ratios.
enum Normalizer : unsigned { kInstance = 1, kLayer = 2, kBatch = 4 };

struct Settings {
  unsigned normalizers;
  bool unbiased;  // instance variance with divisor S - 1
  bool relu;      // y = max(., 0)
  double eps;

  // Instance variance that is mixed, divided by the biased one.
  NORMLIB_HOST_DEVICE double instance_factor(int64_t positions) const {
    if (!unbiased) return 1.0;
    return positions > 1 ? static_cast<double>(positions) / (positions - 1) : 0.0;
  }
};

// A call on an input of shape (N, C, S). A is float, and double for float64 input; its pointers
// lie where x lies. x, y, residual, grad, dx and dresidual share one order in memory: (N, C, S), or
// (N, S, C) where channels_last. All are dense; none but y and residual, dresidual and grad may
// overlap, and only where they are equal.
//
// A pointer is null where the tensor takes no part: residual, mask, weight (1), bias (0), fixed_*
// (batch statistics come from x), running_*, dx, dresidual, dweight, dbias.
struct Problem {
  DataType dtype;
  int64_t samples, channels, positions;
  int64_t bytes;  // of all of x, also where `samples` are a part of it
  bool channels_last;
  Settings settings;

  // Forward.
  const void* x;
  const void* residual;  // added before the ReLU
  void* y;
  uint8_t* mask;  // bit i % 8 of byte i / 8 of a row is set where y > 0 or NaN; rows of S
                  // elements (of C where channels_last), each padded to whole bytes
  const void* mean_ratios;  // A (K,), K the number of normalizers
  const void* var_ratios;   // A (K,)
  const void* weight;       // A (C,)
  const void* bias;         // A (C,)
  const void* fixed_mean;   // A (C,)
  const void* fixed_var;    // A (C,)

  // Statistics. The mean of a sample and channel is channel[1 + c] + offset[n, c]: a mean far from
  // zero leaves a float no digits for its difference from another mean.
  void* offset;    // A (N, C)
  void* variance;  // A (N, C): biased, over the positions
  double* layer;   // (N, 2): mean and variance over channels and positions
  double* channel;      // (1 + 2 C): N * S, then means and variances over samples and positions
  bool continued;       // offsets are counted from the means that channel already holds
  const double* batch;  // as channel, over all processes; equal to channel in one process
  void* running_mean;   // A (C,): moved towards channel by momentum, unless N * S is 0
  void* running_var;    // A (C,)
  double momentum;

  // Backward.
  const void* grad;
  void* sums;            // A (N, C, 2): sums over positions of dy and dy * (x - mean), after ReLU
  double* layer_grad;    // (N, 7): sums over channels of the MixedGradient's mean and var, then of
                         // the RatioGradient's five
  double* channel_grad;  // (2 C): sums over samples of the MixedGradient's means, then of its vars
  void* dweight;         // A (C,)
  void* dbias;           // A (C,)
  void* dmean_ratios;    // A (K,)
  void* dvar_ratios;     // A (K,)
  void* dx;
  void* dresidual;
};

}  // namespace normlib
