// What a sweep needs to know of each sample and channel, computed for a stretch of channels at once.

#pragma once

#include "../statistics.h"
#include "vector.h"

NORMLIB_BEGIN

// Channels whose coefficients are worked out together.
constexpr int64_t kStretch = 2048;
// Vectors of that length that are read side by side are this long: at a distance of a power of two
// they would lie in the same few places of the first cache, and drive one another out.
constexpr int64_t kPadded = kStretch + 32;

// y = scale * (x - centre) + shift, the shift making up for the rounding of the centre.
template <typename A>
struct Affine {
  A centre[kPadded], scale[kPadded], shift[kPadded];
};

// dx = grad * dy + x * (x - centre) + shift, centre the rounded instance mean.
template <typename A>
struct InputAffine {
  A centre[kPadded], grad[kPadded], x[kPadded], shift[kPadded];
};

// Loops over channels are free of branches, for the compiler to vectorise: what takes no part is 0.
template <typename A>
class Coefficients {
 public:
  explicit Coefficients(const Problem& p)
      : p_(p),
        ratios_(load_ratios(static_cast<const A*>(p.mean_ratios),
                            static_cast<const A*>(p.var_ratios), p.settings.normalizers)),
        instance_factor_(p.settings.instance_factor(p.positions)),
        vectors_(4 * p.channels),
        batch_mean_(vectors_.get()),
        batch_var_(batch_mean_ + p.channels),
        weight_(batch_var_ + p.channels),
        bias_(weight_ + p.channels) {
    const double* batch = p.settings.normalizers & kBatch && !p.fixed_mean ? p.batch : nullptr;
    const bool fixed = p.settings.normalizers & kBatch && p.fixed_mean;
    for (int64_t c = 0; c < p.channels; ++c) {
      batch_mean_[c] = batch ? batch[1 + c] : fixed ? at(p.fixed_mean, c) : 0.0;
      batch_var_[c] = batch ? batch[1 + p.channels + c] : fixed ? at(p.fixed_var, c) : 0.0;
      weight_[c] = p.weight ? at(p.weight, c) : 1.0;
      bias_[c] = p.bias ? at(p.bias, c) : 0.0;
    }
    batch_share_ = batch ? static_cast<double>(p.positions) / p.batch[0] : 0.0;
  }

  double mean(int64_t n, int64_t c) const {
    return p_.channel[1 + c] + at(p_.offset, n * p_.channels + c);
  }

  // Channels [begin, begin + count) of sample n; count is at most kStretch.
  void fill(int64_t n, int64_t begin, int64_t count, Affine<A>& out) const {
    const Sample sample(*this, n, begin);
    A* __restrict centres = out.centre;
    A* __restrict scales = out.scale;
    A* __restrict shifts = out.shift;
    for (int64_t i = 0; i < count; ++i) {
      const Statistics s = sample[i];
      const Mixed m = mix(s, ratios_, p_.settings.eps);
      const double centre = s.mean + m.shift;
      const double scale = m.rstd * sample.weight[i];
      const A rounded = static_cast<A>(centre);
      centres[i] = rounded;
      scales[i] = static_cast<A>(scale);
      shifts[i] = static_cast<A>(sample.bias[i] + scale * (rounded - centre));
    }
  }

  void fill(int64_t n, int64_t begin, int64_t count, InputAffine<A>& out) const {
    const Sample sample(*this, n, begin);
    const double channel_share = 1.0 / static_cast<double>(p_.channels);
    const double position_share = 1.0 / static_cast<double>(p_.positions);
    GradientSums sums{};
    if (p_.settings.normalizers & kLayer) {
      sums.layer_mean = p_.layer_grad[7 * n];
      sums.layer_var = p_.layer_grad[7 * n + 1];
    }
    const double* __restrict batch_means = p_.channel_grad + begin;
    const double* __restrict batch_vars = batch_means + p_.channels;
    A* __restrict centres = out.centre;
    A* __restrict grads = out.grad;
    A* __restrict xs = out.x;
    A* __restrict shifts = out.shift;
    for (int64_t i = 0; i < count; ++i) {
      const Statistics s = sample[i];
      const Mixed m = mix(s, ratios_, p_.settings.eps);
      sums.batch_mean = batch_means[i];
      sums.batch_var = batch_vars[i];
      const InputGradient g =
          input_gradient(sample.gradient(i, m), s, sums, ratios_, m, sample.weight[i],
                         channel_share, position_share, batch_share_, instance_factor_);
      const A rounded = static_cast<A>(s.mean);
      centres[i] = rounded;
      grads[i] = static_cast<A>(g.grad);
      xs[i] = static_cast<A>(g.x);
      shifts[i] = static_cast<A>(g.shift + g.x * (rounded - s.mean));
    }
  }

  // Adds the gradients of channels [begin, begin + count) of sample n to sums over the samples, and
  // to sums over the channels: Problem::layer_grad of the sample.
  void add_gradients(int64_t n, int64_t begin, int64_t count, double* __restrict means,
                     double* __restrict vars, double* __restrict weights,
                     double* __restrict biases, double* layer_grad) const {
    const Sample sample(*this, n, begin);
    double mean = 0, var = 0, layer_mean = 0, batch_mean = 0, in = 0, ln = 0, bn = 0;
#pragma omp simd reduction(+ : mean, var, layer_mean, batch_mean, in, ln, bn)
    for (int64_t i = 0; i < count; ++i) {
      const Statistics s = sample[i];
      const MixedGradient g = sample.gradient(i, mix(s, ratios_, p_.settings.eps));
      const RatioGradient r = ratio_gradient(g, s);
      means[i] += g.mean;
      vars[i] += g.var;
      weights[i] += g.weight;
      biases[i] += static_cast<double>(sample.sums[2 * i]);
      mean += g.mean;
      var += g.var;
      layer_mean += r.layer_mean;
      batch_mean += r.batch_mean;
      in += r.var;
      ln += r.layer_var;
      bn += r.batch_var;
    }
    const double all[7] = {mean, var, layer_mean, batch_mean, in, ln, bn};
    for (int k = 0; k < 7; ++k) layer_grad[k] += all[k];
  }

 private:
  static double at(const void* vector, int64_t i) {
    return static_cast<double>(static_cast<const A*>(vector)[i]);
  }

  // The channels of a sample from `begin` on.
  struct Sample {
    Sample(const Coefficients& all, int64_t n, int64_t begin)
        : offset(static_cast<const A*>(all.p_.offset) + n * all.p_.channels + begin),
          variance(static_cast<const A*>(all.p_.variance) + n * all.p_.channels + begin),
          sums(static_cast<const A*>(all.p_.sums) + 2 * (n * all.p_.channels + begin)),
          origin(all.p_.channel + 1 + begin),
          batch_mean(all.batch_mean_ + begin),
          batch_var(all.batch_var_ + begin),
          weight(all.weight_ + begin),
          bias(all.bias_ + begin) {
      const unsigned normalizers = all.p_.settings.normalizers;
      instance_factor = normalizers & kInstance ? all.instance_factor_ : 0.0;
      layer_mean = normalizers & kLayer ? all.p_.layer[2 * n] : 0.0;
      layer_var = normalizers & kLayer ? all.p_.layer[2 * n + 1] : 0.0;
    }

    Statistics operator[](int64_t i) const {
      return {origin[i] + static_cast<double>(offset[i]),
              instance_factor * static_cast<double>(variance[i]),
              layer_mean,
              layer_var,
              batch_mean[i],
              batch_var[i]};
    }

    MixedGradient gradient(int64_t i, const Mixed& m) const {
      return mixed_gradient(static_cast<double>(sums[2 * i]), static_cast<double>(sums[2 * i + 1]),
                            m, weight[i]);
    }

    const A *offset, *variance, *sums;
    const double *origin, *batch_mean, *batch_var, *weight, *bias;
    double instance_factor, layer_mean, layer_var;
  };

  const Problem& p_;
  const Ratios ratios_;
  const double instance_factor_;
  const Doubles vectors_;
  double *batch_mean_, *batch_var_, *weight_, *bias_, batch_share_;
};

NORMLIB_END
