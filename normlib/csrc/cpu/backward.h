// The passes of the backward: reduce, and apply.

#pragma once

#include "rows.h"
#include "tasks.h"

NORMLIB_BEGIN

// Which gradients pass the ReLU.
enum class GateKind { always, mask, positive };

inline GateKind gate_kind(const Problem& p) {
  if (!p.settings.relu) return GateKind::always;
  return p.mask ? GateKind::mask : GateKind::positive;
}

template <GateKind kind, typename T>
auto row_gate(const Problem& p, int64_t row, const Affine<Accumulate<T>>& affine, int64_t i) {
  if constexpr (kind == GateKind::mask) {
    return WhereMaskSet<T>{p.mask + row * mask_stride(p)};
  } else if constexpr (kind == GateKind::positive) {
    return WherePositive<T>{static_cast<const T*>(p.x) + row * p.positions,
                            {affine.centre[i], affine.scale[i], affine.shift[i]}};
  } else {
    return Always<T>{};
  }
}

template <GateKind kind, typename T>
auto column_gate(const Problem& p, const Tile& tile, const Block<const T>& x,
                 const Affine<Accumulate<T>>& affine) {
  if constexpr (kind == GateKind::mask) {
    const int64_t stride = mask_stride(p);
    return ColumnsWhereMaskSet<T>{p.mask + tile.row * stride, stride, tile.stretch.first};
  } else if constexpr (kind == GateKind::positive) {
    return ColumnsWherePositive<T>{x, affine};
  } else {
    return ColumnsAlways<T>{};
  }
}

// The sums of a stretch of channels, from those about the rounded means.
template <typename A>
void store_sums(const Problem& p, const Coefficients<A>& coefficients, const Stretch& s,
                const A* centre, const double* grads, const double* grad_xs) {
  A* sums = static_cast<A*>(p.sums) + 2 * (s.sample * p.channels + s.first);
  for (int64_t i = 0; i < s.count; ++i) {
    const double excess = centre[i] - coefficients.mean(s.sample, s.first + i);
    sums[2 * i] = static_cast<A>(grads[i]);
    sums[2 * i + 1] = static_cast<A>(grad_xs[i] + excess * grads[i]);
  }
}

template <typename A>
void fill_means(const Coefficients<A>& coefficients, const Stretch& s, A* centre) {
  for (int64_t i = 0; i < s.count; ++i) {
    centre[i] = static_cast<A>(coefficients.mean(s.sample, s.first + i));
  }
}

template <typename T, GateKind kind>
void reduce_rows(const Problem& p, ParallelFor pool) {
  using A = Accumulate<T>;
  const Coefficients<A> coefficients(p);
  const T *x = static_cast<const T*>(p.x), *grad = static_cast<const T*>(p.grad);
  parallel_stretches(p, pool, p.positions, rows_together(p), [&](const Stretch& s) {
    Affine<A> affine;
    if (kind == GateKind::positive) coefficients.fill(s.sample, s.first, s.count, affine);
    A centre[kPadded];
    fill_means(coefficients, s, centre);
    double grads[kPadded], grad_xs[kPadded];
    int64_t i = 0;
    if (p.positions <= kShortRow) {
      for (; i + 4 <= s.count; i += 4) {
        const int64_t row = s.sample * p.channels + s.first + i;
        const auto gate = [&](int64_t k) { return row_gate<kind, T>(p, row + k, affine, i + k); };
        const decltype(gate(0)) gates[4] = {gate(0), gate(1), gate(2), gate(3)};
        four_sums(x + row * p.positions, grad + row * p.positions, p.positions, centre + i, gates,
                  grads + i, grad_xs + i);
      }
    }
    for (; i < s.count; ++i) {
      const int64_t row = s.sample * p.channels + s.first + i;
      const RowSums sums = row_sums(x + row * p.positions, grad + row * p.positions, p.positions,
                                    centre[i], row_gate<kind, T>(p, row, affine, i));
      grads[i] = sums.grad;
      grad_xs[i] = sums.grad_x;
    }
    store_sums(p, coefficients, s, centre, grads, grad_xs);
  });
}

template <typename T, GateKind kind>
void reduce_columns(const Problem& p, ParallelFor pool) {
  using A = Accumulate<T>;
  const Coefficients<A> coefficients(p);
  const Tiles tiles(p);
  const int64_t parts = tiles.parts();
  double* partial = workspace(p.samples * parts * 2 * p.channels);
  const auto grads_of = [&](int64_t sample, int64_t part, int64_t channel) {
    return partial + (sample * parts + part) * 2 * p.channels + channel;
  };
  parallel_tiles(pool, tiles, [&](const Tile& tile) {
    const Stretch& s = tile.stretch;
    alignas(64) Affine<A> affine;
    if (kind == GateKind::positive) coefficients.fill(s.sample, s.first, s.count, affine);
    alignas(64) A centre[kPadded];
    fill_means(coefficients, s, centre);
    const Block<const T> x = block_of<T>(p, tile, p.x);
    double* grads = grads_of(s.sample, tile.part, s.first);
    column_sums(x, block_of<T>(p, tile, p.grad), centre, column_gate<kind, T>(p, tile, x, affine),
                grads, grads + p.channels);
  });
  parallel_stretches(p, pool, parts, 1, [&](const Stretch& s) {
    A centre[kPadded];
    fill_means(coefficients, s, centre);
    double grads[kPadded], grad_xs[kPadded];
    std::fill_n(grads, s.count, 0.0);
    std::fill_n(grad_xs, s.count, 0.0);
    for (int64_t part = 0; part < parts; ++part) {
      const double* added = grads_of(s.sample, part, s.first);
      for (int64_t i = 0; i < s.count; ++i) {
        grads[i] += added[i];
        grad_xs[i] += added[p.channels + i];
      }
    }
    store_sums(p, coefficients, s, centre, grads, grad_xs);
  });
}

// From the sums of every sample and channel: sums over the samples, and over the channels.
template <typename A>
void reduce_gradients(const Problem& p, ParallelFor pool) {
  const Coefficients<A> coefficients(p);
  constexpr int64_t kWidth = 256;
  const int64_t stretches = divide_up(p.channels, kWidth);
  double* partial = workspace(stretches * p.samples * 7);
  parallel(pool, stretches, kCost * kWidth * p.samples, [&](int64_t first, int64_t end) {
    for (int64_t k = first; k < end; ++k) {
      const int64_t begin = k * kWidth, count = std::min(kWidth, p.channels - begin);
      double means[kWidth], vars[kWidth], weights[kWidth], biases[kWidth];
      for (double* sums : {means, vars, weights, biases}) std::fill_n(sums, count, 0.0);
      for (int64_t n = 0; n < p.samples; ++n) {
        double* layer_grad = partial + (k * p.samples + n) * 7;
        std::fill_n(layer_grad, 7, 0.0);
        coefficients.add_gradients(n, begin, count, means, vars, weights, biases, layer_grad);
      }
      std::copy_n(means, count, p.channel_grad + begin);
      std::copy_n(vars, count, p.channel_grad + p.channels + begin);
      for (int64_t i = 0; i < count; ++i) {
        if (p.dweight) static_cast<A*>(p.dweight)[begin + i] = static_cast<A>(weights[i]);
        if (p.dbias) static_cast<A*>(p.dbias)[begin + i] = static_cast<A>(biases[i]);
      }
    }
  });
  std::fill_n(p.layer_grad, 7 * p.samples, 0.0);
  for (int64_t k = 0; k < stretches; ++k) {
    for (int64_t i = 0; i < 7 * p.samples; ++i) {
      p.layer_grad[i] += partial[k * 7 * p.samples + i];
    }
  }
}

template <typename T, GateKind kind>
void reduce_with(const Problem& p, ParallelFor pool) {
  p.channels_last ? reduce_columns<T, kind>(p, pool) : reduce_rows<T, kind>(p, pool);
}

template <typename T>
void backward_reduce(const Problem& p, ParallelFor pool) {
  using A = Accumulate<T>;
  if (p.samples * p.channels * p.positions == 0) {
    std::fill_n(static_cast<A*>(p.sums), 2 * p.samples * p.channels, A{0});
    std::fill_n(p.layer_grad, 7 * p.samples, 0.0);
    std::fill_n(p.channel_grad, 2 * p.channels, 0.0);
    if (p.dweight) std::fill_n(static_cast<A*>(p.dweight), p.channels, A{0});
    if (p.dbias) std::fill_n(static_cast<A*>(p.dbias), p.channels, A{0});
    return;
  }
  switch (gate_kind(p)) {
    case GateKind::always:
      reduce_with<T, GateKind::always>(p, pool);
      break;
    case GateKind::mask:
      reduce_with<T, GateKind::mask>(p, pool);
      break;
    case GateKind::positive:
      reduce_with<T, GateKind::positive>(p, pool);
      break;
  }
  reduce_gradients<A>(p, pool);
}

template <typename A>
void store_ratio_gradients(const Problem& p) {
  double totals[7] = {};
  for (int64_t n = 0; n < p.samples; ++n) {
    for (int k = 0; k < 7; ++k) totals[k] += p.layer_grad[7 * n + k];
  }
  const double means[3] = {0, totals[2], totals[3]};
  for (int k = 0, i = 0; k < 3; ++k) {
    if (p.settings.normalizers & (1u << k)) {
      static_cast<A*>(p.dmean_ratios)[i] = static_cast<A>(means[k]);
      static_cast<A*>(p.dvar_ratios)[i] = static_cast<A>(totals[4 + k]);
      ++i;
    }
  }
}

template <typename T, Store how, GateKind kind>
void backward_apply_with(const Problem& p, ParallelFor pool) {
  using A = Accumulate<T>;
  const Coefficients<A> coefficients(p);
  if (p.channels_last) {
    parallel_tiles<Order::descending>(pool, Tiles(p), [&](const Tile& tile) {
      const Stretch& s = tile.stretch;
      alignas(64) Affine<A> affine;
      if (kind == GateKind::positive) coefficients.fill(s.sample, s.first, s.count, affine);
      alignas(64) InputAffine<A> gradient;
      coefficients.fill(s.sample, s.first, s.count, gradient);
      const Block<const T> x = block_of<T>(p, tile, p.x);
      backward_columns<T, how>(x, block_of<T>(p, tile, p.grad), offset_by<T>(p.dx, tile.begin),
                       offset_by<T>(p.dresidual, tile.begin), gradient,
                       column_gate<kind, T>(p, tile, x, affine));
      if constexpr (how == Store::streamed) finish_streams();
    });
    return;
  }
  parallel_stretches<Order::descending>(p, pool, p.positions, rows_together(p), [&](const Stretch& s) {
    Affine<A> affine;
    if (kind == GateKind::positive) coefficients.fill(s.sample, s.first, s.count, affine);
    InputAffine<A> g;
    coefficients.fill(s.sample, s.first, s.count, g);
    for (int64_t i = 0; i < s.count; ++i) {
      const int64_t row = s.sample * p.channels + s.first + i;
      const int64_t at = row * p.positions;
      backward_row<T, how>(offset_by<T>(p.x, at), offset_by<T>(p.grad, at), offset_by<T>(p.dx, at),
                   offset_by<T>(p.dresidual, at), p.positions, {g.centre[i], g.x[i], g.shift[i]},
                   g.grad[i], row_gate<kind, T>(p, row, affine, i));
    }
    if constexpr (how == Store::streamed) finish_streams();
  });
}

template <typename T>
void backward_apply(const Problem& p, ParallelFor pool) {
  store_ratio_gradients<Accumulate<T>>(p);
  if (p.samples * p.channels * p.positions == 0 || !(p.dx || p.dresidual)) return;
  with_store(p, [&](auto how) {
    switch (gate_kind(p)) {
      case GateKind::always:
        return backward_apply_with<T, how(), GateKind::always>(p, pool);
      case GateKind::mask:
        return backward_apply_with<T, how(), GateKind::mask>(p, pool);
      case GateKind::positive:
        return backward_apply_with<T, how(), GateKind::positive>(p, pool);
    }
  });
}

NORMLIB_END
