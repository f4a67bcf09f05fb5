// The arithmetic of size (N, C) that every kernel shares, on the host and on the device.
//
// The formulas are those of normlib/ops/reference.py and their derivatives. Indices: n sample,
// c channel; mean and var without a prefix are the instance's.

#pragma once

#include "problem.h"

namespace normlib {

// Mean and sum of squared deviations of `count` values.
template <typename A>
struct Moments {
  A count, mean, m2;
};

// Chan, Golub and LeVeque (1979): moments of two sets together.
template <typename A>
NORMLIB_HOST_DEVICE Moments<A> merge(const Moments<A>& a, const Moments<A>& b) {
  const A count = a.count + b.count;
  if (count == 0) return a;
  const A share = b.count / count;
  const A delta = b.mean - a.mean;
  return {count, a.mean + share * delta, a.m2 + b.m2 + a.count * share * delta * delta};
}

// Ratios of instance, layer and batch statistics; 0 for those that take no part.
struct Ratios {
  double mean[3], var[3];
};

template <typename A>
NORMLIB_HOST_DEVICE Ratios load_ratios(const A* mean, const A* var, unsigned normalizers) {
  Ratios ratios{};
  for (int k = 0, i = 0; k < 3; ++k) {
    if (normalizers & (1u << k)) {
      ratios.mean[k] = static_cast<double>(mean[i]);
      ratios.var[k] = static_cast<double>(var[i]);
      ++i;
    }
  }
  return ratios;
}

// The three statistics of one sample and channel; 0 for those that take no part.
struct Statistics {
  double mean, var;
  double layer_mean, layer_var;
  double batch_mean, batch_var;
};

struct Mixed {
  double shift;  // mixed mean minus instance mean
  double rstd;   // 1 / sqrt(mixed variance + eps)
};

// Differences of means keep the digits that the means have in common; the ratios sum to 1.
NORMLIB_HOST_DEVICE Mixed mix(const Statistics& s, const Ratios& w, double eps) {
  const double shift =
      w.mean[1] * (s.layer_mean - s.mean) + w.mean[2] * (s.batch_mean - s.mean);
  const double var = w.var[0] * s.var + w.var[1] * s.layer_var + w.var[2] * s.batch_var;
#if defined(__CUDA_ARCH__)
  return {shift, ::rsqrt(var + eps)};
#else
  return {shift, 1.0 / __builtin_sqrt(var + eps)};
#endif
}

// Gradients of the mixed mean and variance, and of gamma, from one sample and channel.
struct MixedGradient {
  double mean, var, weight;
};

// sum_grad and sum_grad_x: sums over the positions of dy and of dy * (x - instance mean).
NORMLIB_HOST_DEVICE MixedGradient mixed_gradient(double sum_grad, double sum_grad_x,
                                                 const Mixed& mixed, double weight) {
  const double projection = sum_grad_x - mixed.shift * sum_grad;
  const double scale = mixed.rstd * weight;
  return {-scale * sum_grad, -0.5 * scale * mixed.rstd * mixed.rstd * projection,
          mixed.rstd * projection};
}

// What one sample and channel adds to the gradients of the ratios. The gradient of the means' is
// one along the simplex: relative to the instance mean, whose own entry is 0.
struct RatioGradient {
  double layer_mean, batch_mean;
  double var, layer_var, batch_var;
};

NORMLIB_HOST_DEVICE RatioGradient ratio_gradient(const MixedGradient& g, const Statistics& s) {
  return {g.mean * (s.layer_mean - s.mean), g.mean * (s.batch_mean - s.mean),
          g.var * s.var, g.var * s.layer_var, g.var * s.batch_var};
}

// dx = grad * dy + x * (x - instance mean) + shift.
struct InputGradient {
  double grad, x, shift;
};

// Sums of MixedGradient over the channels of a sample, and over the samples of a channel (on all
// processes).
struct GradientSums {
  double layer_mean, layer_var;
  double batch_mean, batch_var;
};

// Shares: 1 / C, 1 / S, and S divided by the element count behind the batch statistics, 0 where these
// are fixed. instance_factor: of Settings.
NORMLIB_HOST_DEVICE InputGradient input_gradient(const MixedGradient& g, const Statistics& s,
                                                 const GradientSums& sums, const Ratios& w,
                                                 const Mixed& mixed, double weight,
                                                 double channel_share, double position_share,
                                                 double batch_share, double instance_factor) {
  const double layer_mean = w.mean[1] * channel_share * sums.layer_mean;
  const double layer_var = w.var[1] * channel_share * sums.layer_var;
  const double batch_mean = w.mean[2] * batch_share * sums.batch_mean;
  const double batch_var = w.var[2] * batch_share * sums.batch_var;
  const double mean = w.mean[0] * g.mean + layer_mean + batch_mean +
                      2 * layer_var * (s.mean - s.layer_mean) +
                      2 * batch_var * (s.mean - s.batch_mean);
  const double var = (w.var[0] * g.var + layer_var + batch_var) * instance_factor;
  return {mixed.rstd * weight, 2 * var * position_share, mean * position_share};
}

}  // namespace normlib
