// What the statistics of a sample and channel become in the sweeps over its positions.

#pragma once

#include <cuda_runtime.h>

#include "../statistics.h"
#include "tiling.h"

namespace normlib::cuda {

template <typename A>
__device__ __forceinline__ double instance_mean(const Problem& p, int64_t n, int64_t c) {
  return p.channel[1 + c] +
         static_cast<double>(static_cast<const A*>(p.offset)[n * p.channels + c]);
}

template <typename A>
__device__ __forceinline__ double element_or(const void* values, int64_t index, double otherwise) {
  return values == nullptr ? otherwise : static_cast<double>(static_cast<const A*>(values)[index]);
}

template <typename A>
struct Mixture {
  Statistics statistics{};
  Ratios ratios;
  Mixed mixed;
  double weight, bias;

  __device__ __forceinline__ Mixture(const Problem& p, int64_t n, int64_t c) {
    const unsigned normalizers = p.settings.normalizers;
    statistics.mean = instance_mean<A>(p, n, c);
    if (normalizers & kInstance) {
      statistics.var = p.settings.instance_factor(p.positions) *
                       element_or<A>(p.variance, n * p.channels + c, 0);
    }
    if (normalizers & kLayer) {
      statistics.layer_mean = p.layer[2 * n];
      statistics.layer_var = p.layer[2 * n + 1];
    }
    if (normalizers & kBatch) {
      if (p.fixed_mean != nullptr) {
        statistics.batch_mean = element_or<A>(p.fixed_mean, c, 0);
        statistics.batch_var = element_or<A>(p.fixed_var, c, 1);
      } else {
        statistics.batch_mean = p.batch[1 + c];
        statistics.batch_var = p.batch[1 + p.channels + c];
      }
    }
    ratios = load_ratios(static_cast<const A*>(p.mean_ratios), static_cast<const A*>(p.var_ratios),
                         normalizers);
    mixed = mix(statistics, ratios, p.settings.eps);
    weight = element_or<A>(p.weight, c, 1);
    bias = element_or<A>(p.bias, c, 0);
  }
};

// scale * (x - centre) + shift, with what rounding adds to the centre taken out by the shift.
template <typename A>
struct Affine {
  A centre, scale, shift;

  Affine() = default;
  __device__ __forceinline__ Affine(double exact_centre, double exact_scale, double exact_shift) {
    centre = static_cast<A>(exact_centre);
    scale = static_cast<A>(exact_scale);
    shift =
        static_cast<A>(exact_shift + exact_scale * (static_cast<double>(centre) - exact_centre));
  }

  __device__ __forceinline__ A operator()(A x) const { return fma(scale, x - centre, shift); }
};

// The output before the residual and the ReLU.
template <typename A>
__device__ __forceinline__ Affine<A> output_affine(const Mixture<A>& m) {
  return {m.statistics.mean + m.mixed.shift, m.mixed.rstd * m.weight, m.bias};
}

template <typename Value>
size_t coefficients_bytes(const Problem& p, const Tiling& t) {
  return sizeof(Value) * t.groups * t.columns * (p.channels_last ? t.vector : 1);
}

// Gives each thread what make(n, c) returns for the channels of its share. The threads of a block
// share the work; called by all of them, with coefficients_bytes<Value> of shared memory.
template <int channels, typename Value, typename Make>
__device__ __forceinline__ void coefficients(const Problem& p, const Tiling& t, unsigned block,
                                             Value* shared, Value (&values)[channels], Make make) {
  const unsigned row_channels = t.columns * channels;  // of a group
  const int64_t first_unit = int64_t{block / t.tiles / t.parts} * t.groups;
  const int64_t first_channel = int64_t{block % t.tiles} * row_channels;
  for (unsigned i = threadIdx.x; i < t.groups * row_channels; i += kThreads) {
    const int64_t unit = first_unit + i / row_channels;
    const int64_t channel = first_channel + i % row_channels;
    if (unit >= t.units || channel >= p.channels) continue;
    shared[i] = p.channels_last ? make(unit, channel) : make(unit / p.channels, unit % p.channels);
  }
  __syncthreads();
  const unsigned own =
      threadIdx.x / (t.columns * t.lanes) * row_channels + threadIdx.x % t.columns * channels;
#pragma unroll
  for (int j = 0; j < channels; ++j) values[j] = shared[own + j];
}

}  // namespace normlib::cuda
