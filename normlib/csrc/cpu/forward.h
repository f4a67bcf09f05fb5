// The passes of the forward: statistics, and apply.

#pragma once

#include <cmath>

#include "rows.h"
#include "tasks.h"

NORMLIB_BEGIN

template <typename T>
void row_statistics(const Problem& p, ParallelFor pool, double* means) {
  using A = Accumulate<T>;
  const T* x = static_cast<const T*>(p.x);
  A* variance = static_cast<A*>(p.variance);
  const double inverse = 1.0 / static_cast<double>(p.positions);
  parallel_stretches(p, pool, p.positions, rows_together(p), [&](const Stretch& s) {
    int64_t i = s.sample * p.channels + s.first;
    const int64_t end = i + s.count;
    if (p.positions <= kShortRow) {
      for (; i + 4 <= end; i += 4) {
        four_moments(x + i * p.positions, p.positions, inverse, means + i, variance + i);
      }
    }
    for (; i < end; ++i) {
      const RowMoments moments = row_moments(x + i * p.positions, p.positions);
      means[i] = moments.mean;
      variance[i] = static_cast<A>(moments.var);
    }
  });
}

// partial: (N, parts, 2, C).
template <typename T>
void column_statistics(const Problem& p, ParallelFor pool, const Tiles& tiles, double* means,
                       double* partial) {
  using A = Accumulate<T>;
  const int64_t parts = tiles.parts();
  const auto mean_of = [&](int64_t sample, int64_t part, int64_t channel) {
    return partial + (sample * parts + part) * 2 * p.channels + channel;
  };
  parallel_tiles(pool, tiles, [&](const Tile& tile) {
    double* mean = mean_of(tile.stretch.sample, tile.part, tile.stretch.first);
    column_moments(block_of<T>(p, tile, p.x), mean, mean + p.channels);
  });
  A* variance = static_cast<A*>(p.variance);
  parallel_stretches(p, pool, parts, 1, [&](const Stretch& s) {
    double mean[kPadded], m2[kPadded];
    std::fill_n(mean, s.count, 0.0);
    std::fill_n(m2, s.count, 0.0);
    double count = 0;
    for (int64_t part = 0; part < parts; ++part) {
      const double* added_mean = mean_of(s.sample, part, s.first);
      const double* added_m2 = added_mean + p.channels;
      const double added = static_cast<double>(tiles.rows(part));
      const double share = added / (count + added);
      for (int64_t i = 0; i < s.count; ++i) {
        const double delta = added_mean[i] - mean[i];
        mean[i] += share * delta;
        m2[i] += added_m2[i] + count * share * delta * delta;
      }
      count += added;
    }
    const int64_t at = s.sample * p.channels + s.first;
    for (int64_t i = 0; i < s.count; ++i) {
      means[at + i] = mean[i];
      variance[at + i] = static_cast<A>(m2[i] / count);
    }
  });
}

// Statistics of a stretch of channels over the samples, and the offsets from their means.
template <typename A>
void channel_statistics(const Problem& p, int64_t begin, int64_t end, const double* means) {
  const double factor = p.settings.instance_factor(p.positions);
  const double samples = static_cast<double>(p.samples);
  const A* variance = static_cast<const A*>(p.variance);
  double *mean = p.channel + 1, *var = p.channel + 1 + p.channels;
  if (p.fixed_mean) {
    for (int64_t c = begin; c < end; ++c) {
      mean[c] = static_cast<const A*>(p.fixed_mean)[c];
      var[c] = static_cast<const A*>(p.fixed_var)[c];
    }
  } else if (!p.continued) {
    for (int64_t c = begin; c < end; ++c) mean[c] = var[c] = 0;
    for (int64_t n = 0; n < p.samples; ++n) {
      for (int64_t c = begin; c < end; ++c) mean[c] += means[n * p.channels + c];
    }
    // Where it takes no part, the batch mean is only what the offsets are counted from.
    const bool counted = p.settings.normalizers & kBatch;
    for (int64_t c = begin; c < end; ++c) {
      mean[c] /= samples;
      if (!counted && !std::isfinite(mean[c])) mean[c] = 0;
    }
    for (int64_t n = 0; n < p.samples; ++n) {
      for (int64_t c = begin; c < end; ++c) {
        const int64_t i = n * p.channels + c;
        const double delta = means[i] - mean[c];
        var[c] += factor * variance[i] + delta * delta;
      }
    }
    for (int64_t c = begin; c < end; ++c) var[c] /= samples;
  }
  A* offset = static_cast<A*>(p.offset);
  for (int64_t n = 0; n < p.samples; ++n) {
    for (int64_t c = begin; c < end; ++c) {
      const int64_t i = n * p.channels + c;
      offset[i] = static_cast<A>(means[i] - mean[c]);
    }
  }
  if (p.running_mean) {
    A *running_mean = static_cast<A*>(p.running_mean), *running_var = static_cast<A*>(p.running_var);
    for (int64_t c = begin; c < end; ++c) {
      running_mean[c] += static_cast<A>(p.momentum * (mean[c] - running_mean[c]));
      running_var[c] += static_cast<A>(p.momentum * (var[c] - running_var[c]));
    }
  }
}

template <typename A>
void layer_statistics(const Problem& p, int64_t n, const double* means) {
  const double factor = p.settings.instance_factor(p.positions);
  const double channels = static_cast<double>(p.channels);
  const A* variance = static_cast<const A*>(p.variance) + n * p.channels;
  const double* mean = means + n * p.channels;
  double total = 0, second = 0;
#pragma omp simd reduction(+ : total)
  for (int64_t c = 0; c < p.channels; ++c) total += mean[c];
  const double layer_mean = total / channels;
#pragma omp simd reduction(+ : second)
  for (int64_t c = 0; c < p.channels; ++c) {
    const double delta = mean[c] - layer_mean;
    second += factor * variance[c] + delta * delta;
  }
  p.layer[2 * n] = layer_mean;
  p.layer[2 * n + 1] = second / channels;
}

// Without instance and layer statistics, and the batch's given, x need not be read: the means then
// are those given, which serves the backward as well as any others.
inline bool needs_no_statistics(const Problem& p) {
  return p.fixed_mean && !(p.settings.normalizers & (kInstance | kLayer));
}

template <typename T>
void statistics(const Problem& p, ParallelFor pool) {
  using A = Accumulate<T>;
  const int64_t rows = p.samples * p.channels;
  A *offset = static_cast<A*>(p.offset), *variance = static_cast<A*>(p.variance);
  p.channel[0] = static_cast<double>(p.samples * p.positions);
  if (needs_no_statistics(p) || rows * p.positions == 0) {
    std::fill_n(offset, rows, A{0});
    std::fill_n(variance, rows, A{0});
    std::fill_n(p.layer, 2 * p.samples, 0.0);
    for (int64_t c = 0; c < p.channels; ++c) {
      p.channel[1 + c] = p.fixed_mean ? static_cast<const A*>(p.fixed_mean)[c] : 0.0;
      p.channel[1 + p.channels + c] = p.fixed_var ? static_cast<const A*>(p.fixed_var)[c] : 0.0;
    }
    return;
  }
  double* means;
  if (p.channels_last) {
    const Tiles tiles(p);
    means = workspace(rows + 2 * rows * tiles.parts());
    column_statistics<T>(p, pool, tiles, means, means + rows);
  } else {
    means = workspace(rows);
    row_statistics<T>(p, pool, means);
  }
  parallel(pool, p.channels, kCost / 4 * p.samples, [&](int64_t begin, int64_t end) {
    channel_statistics<A>(p, begin, end, means);
  });
  if (p.settings.normalizers & kLayer) {
    parallel(pool, p.samples, p.channels, [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n) layer_statistics<A>(p, n, means);
    });
  } else {
    std::fill_n(p.layer, 2 * p.samples, 0.0);
  }
}

template <typename T, Store how, bool kRelu, bool kResidual>
void apply_with(const Problem& p, ParallelFor pool) {
  using A = Accumulate<T>;
  const Coefficients<A> coefficients(p);
  const int64_t stride = mask_stride(p);
  if (p.channels_last) {
    parallel_tiles<Order::descending>(pool, Tiles(p), [&](const Tile& tile) {
      alignas(64) Affine<A> affine;
      coefficients.fill(tile.stretch.sample, tile.stretch.first, tile.stretch.count, affine);
      apply_columns<T, how, kRelu, kResidual>(
          block_of<T>(p, tile, p.x), offset_by<T>(p.residual, tile.begin),
          offset_by<T>(p.y, tile.begin), p.mask ? p.mask + tile.row * stride : nullptr, stride,
          tile.stretch.first, affine);
      if constexpr (how == Store::streamed) finish_streams();
    });
    return;
  }
  parallel_stretches<Order::descending>(p, pool, p.positions, rows_together(p), [&](const Stretch& s) {
    alignas(64) Affine<A> affine;
    coefficients.fill(s.sample, s.first, s.count, affine);
    for (int64_t i = 0; i < s.count; ++i) {
      const int64_t row = s.sample * p.channels + s.first + i;
      const int64_t at = row * p.positions;
      apply_row<T, how, kRelu, kResidual>(
          offset_by<T>(p.x, at), offset_by<T>(p.residual, at), offset_by<T>(p.y, at),
          p.mask ? p.mask + row * stride : nullptr, p.positions,
          {affine.centre[i], affine.scale[i], affine.shift[i]});
    }
    if constexpr (how == Store::streamed) finish_streams();
  });
}

template <typename T>
void apply(const Problem& p, ParallelFor pool) {
  if (p.samples * p.channels * p.positions == 0) return;
  with_store(p, [&](auto how) {
    if (p.residual) {
      p.settings.relu ? apply_with<T, how(), true, true>(p, pool)
                      : apply_with<T, how(), false, true>(p, pool);
    } else {
      p.settings.relu ? apply_with<T, how(), true, false>(p, pool)
                      : apply_with<T, how(), false, false>(p, pool);
    }
  });
}

NORMLIB_END
