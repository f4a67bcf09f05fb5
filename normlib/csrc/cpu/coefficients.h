// What a sweep needs to know of each sample and channel, computed for a stretch of channels at once.

#pragma once

#include "../statistics.h"
#include "vector.h"

NORMLIB_BEGIN

// Channels whose coefficients are worked out together.
constexpr int64_t kStretch = 2048;

// y = scale * (x - centre) + shift, the shift making up for the rounding of the centre.
template <typename A>
struct Affine {
  A centre[kStretch], scale[kStretch], shift[kStretch];
};

// dx = grad * dy + x * (x - centre) + shift, centre the rounded instance mean.
template <typename A>
struct InputAffine {
  A centre[kStretch], grad[kStretch], x[kStretch], shift[kStretch];
};

template <typename A>
class Coefficients {
 public:
  explicit Coefficients(const Problem& p)
      : p_(p),
        ratios_(load_ratios(static_cast<const A*>(p.mean_ratios),
                            static_cast<const A*>(p.var_ratios), p.settings.normalizers)),
        factor_(p.settings.instance_factor(p.positions)),
        offset_(static_cast<const A*>(p.offset)),
        variance_(static_cast<const A*>(p.variance)),
        weight_(static_cast<const A*>(p.weight)),
        bias_(static_cast<const A*>(p.bias)),
        fixed_mean_(static_cast<const A*>(p.fixed_mean)),
        fixed_var_(static_cast<const A*>(p.fixed_var)),
        sums_(static_cast<const A*>(p.sums)) {}

  double mean(int64_t n, int64_t c) const {
    return p_.channel[1 + c] + static_cast<double>(offset_[n * p_.channels + c]);
  }

  double weight(int64_t c) const { return weight_ ? static_cast<double>(weight_[c]) : 1.0; }

  Statistics statistics(int64_t n, int64_t c) const {
    const unsigned normalizers = p_.settings.normalizers;
    Statistics s{};
    s.mean = mean(n, c);
    if (normalizers & kInstance) s.var = factor_ * variance_[n * p_.channels + c];
    if (normalizers & kLayer) {
      s.layer_mean = p_.layer[2 * n];
      s.layer_var = p_.layer[2 * n + 1];
    }
    if (normalizers & kBatch) {
      s.batch_mean = fixed_mean_ ? static_cast<double>(fixed_mean_[c]) : p_.batch[1 + c];
      s.batch_var =
          fixed_var_ ? static_cast<double>(fixed_var_[c]) : p_.batch[1 + p_.channels + c];
    }
    return s;
  }

  Mixed mixed(const Statistics& s) const { return mix(s, ratios_, p_.settings.eps); }

  MixedGradient mixed_gradient(int64_t n, int64_t c, const Mixed& m) const {
    const A* sums = sums_ + 2 * (n * p_.channels + c);
    return normlib::mixed_gradient(sums[0], sums[1], m, weight(c));
  }

  // Channels [begin, begin + count) of sample n; count is at most kStretch.
  void fill(int64_t n, int64_t begin, int64_t count, Affine<A>& out) const {
    for (int64_t i = 0; i < count; ++i) {
      const int64_t c = begin + i;
      const Statistics s = statistics(n, c);
      const Mixed m = mixed(s);
      const double centre = s.mean + m.shift;
      const double scale = m.rstd * weight(c);
      out.centre[i] = static_cast<A>(centre);
      out.scale[i] = static_cast<A>(scale);
      const double shift = bias_ ? static_cast<double>(bias_[c]) : 0.0;
      out.shift[i] = static_cast<A>(shift + scale * (out.centre[i] - centre));
    }
  }

  void fill(int64_t n, int64_t begin, int64_t count, InputAffine<A>& out) const {
    const double channel_share = 1.0 / static_cast<double>(p_.channels);
    const double position_share = 1.0 / static_cast<double>(p_.positions);
    const double batch_share = !(p_.settings.normalizers & kBatch) || fixed_mean_
                                   ? 0.0
                                   : static_cast<double>(p_.positions) / p_.batch[0];
    for (int64_t i = 0; i < count; ++i) {
      const int64_t c = begin + i;
      const Statistics s = statistics(n, c);
      const Mixed m = mixed(s);
      GradientSums sums{};
      if (p_.settings.normalizers & kLayer) {
        sums.layer_mean = p_.layer_grad[7 * n];
        sums.layer_var = p_.layer_grad[7 * n + 1];
      }
      if (batch_share != 0) {
        sums.batch_mean = p_.channel_grad[c];
        sums.batch_var = p_.channel_grad[p_.channels + c];
      }
      const InputGradient g =
          input_gradient(mixed_gradient(n, c, m), s, sums, ratios_, m, weight(c),
                         channel_share, position_share, batch_share, factor_);
      out.centre[i] = static_cast<A>(s.mean);
      out.grad[i] = static_cast<A>(g.grad);
      out.x[i] = static_cast<A>(g.x);
      out.shift[i] = static_cast<A>(g.shift + g.x * (out.centre[i] - s.mean));
    }
  }

 private:
  const Problem& p_;
  const Ratios ratios_;
  const double factor_;
  const A *offset_, *variance_, *weight_, *bias_, *fixed_mean_, *fixed_var_, *sums_;
};

NORMLIB_END
