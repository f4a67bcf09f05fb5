// Sweeps over one row: the positions of a sample and channel, where they lie together in memory.

#pragma once

#include "../statistics.h"
#include "vector.h"

NORMLIB_BEGIN

// Elements that stay in the first cache between two steps over them, and that a float may sum.
constexpr int64_t kChunk = 2048;

// Elements of a row up to which the sums of its vectors are a large part of the work.
constexpr int64_t kShortRow = 128;

// Calls vector(i, k) for whole vectors, k < 4 naming one of four independent accumulators, and then
// scalar(i) for the elements that are left.
template <int lanes, typename OnVector, typename OnScalar>
NORMLIB_INLINED void for_each(int64_t size, OnVector&& vector, OnScalar&& scalar) {
  int64_t i = 0;
  for (; i + 4 * lanes <= size; i += 4 * lanes) {
    vector(i, 0);
    vector(i + lanes, 1);
    vector(i + 2 * lanes, 2);
    vector(i + 3 * lanes, 3);
  }
  for (; i + lanes <= size; i += lanes) vector(i, 0);
  for (; i < size; ++i) scalar(i);
}

struct RowMoments {
  double mean, var;
};

// Two steps over up to kChunk elements; inverse: 1 / size.
template <typename T>
inline RowMoments chunk_moments(const T* x, int64_t size, double inverse) {
  using A = Accumulate<T>;
  using V = Vector<A>;
  constexpr int lanes = kLanes<A>;
  V totals[4] = {};
  A total = 0;
  for_each<lanes>(
      size, [&](int64_t i, int k) { totals[k] += load(x + i); },
      [&](int64_t i) { total += widen(x[i]); });
  total += sum((totals[0] + totals[1]) + (totals[2] + totals[3]));
  const A centre = total * static_cast<A>(inverse);

  V firsts[4] = {}, seconds[4] = {};
  A first = 0, second = 0;
  const V centres = broadcast(centre);
  for_each<lanes>(
      size,
      [&](int64_t i, int k) {
        __builtin_prefetch(x + i + kChunk);
        const V d = load(x + i) - centres;
        firsts[k] += d;
        seconds[k] += d * d;
      },
      [&](int64_t i) {
        const A d = widen(x[i]) - centre;
        first += d;
        second += d * d;
      });
  first += sum((firsts[0] + firsts[1]) + (firsts[2] + firsts[3]));
  second += sum((seconds[0] + seconds[1]) + (seconds[2] + seconds[3]));
  const double rest = first * inverse;  // digits that `centre` has no room for
  return {centre + rest, second * inverse - rest * rest};
}

// As chunk_moments, of four rows that follow each other: their sums are one another's company while
// the processor waits for results.
template <typename T>
inline void four_moments(const T* x, int64_t size, double inverse, double* means,
                         Accumulate<T>* variances) {
  using A = Accumulate<T>;
  using V = Vector<A>;
  constexpr int lanes = kLanes<A>;
  const int64_t whole = size / lanes * lanes;
  V totals[4] = {};
  for (int64_t i = 0; i < whole; i += lanes) {
    unrolled<4>([&](int r) { totals[r] += load(x + r * size + i); });
  }
  Four<A> total = sums(totals[0], totals[1], totals[2], totals[3]);
  for (int64_t i = whole; i < size; ++i) {
    unrolled<4>([&](int r) { total.of[r] += widen(x[r * size + i]); });
  }
  Four<A> centre;
  V firsts[4] = {}, seconds[4] = {}, centres[4];
  unrolled<4>([&](int r) {
    centre.of[r] = total.of[r] * static_cast<A>(inverse);
    centres[r] = broadcast(centre.of[r]);
  });
  for (int64_t i = 0; i < whole; i += lanes) {
    unrolled<4>([&](int r) {
      const V d = load(x + r * size + i) - centres[r];
      firsts[r] += d;
      seconds[r] += d * d;
    });
  }
  Four<A> first = sums(firsts[0], firsts[1], firsts[2], firsts[3]);
  Four<A> second = sums(seconds[0], seconds[1], seconds[2], seconds[3]);
  for (int64_t i = whole; i < size; ++i) {
    unrolled<4>([&](int r) {
      const A d = widen(x[r * size + i]) - centre.of[r];
      first.of[r] += d;
      second.of[r] += d * d;
    });
  }
  unrolled<4>([&](int r) {
    const double rest = first.of[r] * inverse;
    means[r] = centre.of[r] + rest;
    variances[r] = static_cast<A>(second.of[r] * inverse - rest * rest);
  });
}

// Chunk by chunk, merged with Chan's formula.
template <typename T>
inline RowMoments row_moments(const T* x, int64_t size) {
  if (size <= kChunk) return chunk_moments(x, size, 1.0 / static_cast<double>(size));
  Moments<double> all{0, 0, 0};
  for (int64_t begin = 0; begin < size; begin += kChunk) {
    const int64_t length = size - begin < kChunk ? size - begin : kChunk;
    const double count = static_cast<double>(length);
    const RowMoments chunk = chunk_moments(x + begin, length, 1.0 / count);
    all = normlib::merge<double>(all, {count, chunk.mean, chunk.var * count});
  }
  return {all.mean, all.m2 / all.count};
}

// The positions at which a row's gradient passes the ReLU.
template <typename T>
struct Always {
  using A = Accumulate<T>;
  Vector<A> vector(int64_t, Vector<A> grad) const {
    return grad;
  }
  A scalar(int64_t, A grad) const {
    return grad;
  }
};

template <typename T>
struct WhereMaskSet {
  using A = Accumulate<T>;
  const uint8_t* row;
  Vector<A> vector(int64_t i, Vector<A> grad) const {
    return where<A>(load_mask<A>(row, i), grad);
  }
  A scalar(int64_t i, A grad) const {
    return load_mask_bit(row, i) ? grad : A{0};
  }
};

// The affine map as apply computes it.
template <typename A>
struct RowAffine {
  A centre, scale, shift;
  Vector<A> vector(Vector<A> x) const { return (x - centre) * scale + shift; }
  A scalar(A x) const { return (x - centre) * scale + shift; }
};

template <typename T>
struct WherePositive {
  using A = Accumulate<T>;
  const T* x;
  RowAffine<A> affine;
  Vector<A> vector(int64_t i, Vector<A> grad) const {
    return where<A>(passes_relu(affine.vector(load(x + i))), grad);
  }
  A scalar(int64_t i, A grad) const {
    return passes_relu(affine.scalar(widen(x[i]))) ? grad : A{0};
  }
};

struct RowSums {
  double grad, grad_x;
};

// Sums of dy and of dy * (x - centre).
template <typename T, typename Gate>
inline RowSums row_sums(const T* x, const T* grad, int64_t size, Accumulate<T> centre, Gate gate) {
  using A = Accumulate<T>;
  using V = Vector<A>;
  RowSums sums{};
  const V centres = broadcast(centre);
  for (int64_t begin = 0; begin < size; begin += kChunk) {
    const int64_t length = size - begin < kChunk ? size - begin : kChunk;
    V firsts[4] = {}, seconds[4] = {};
    A first = 0, second = 0;
    for_each<kLanes<A>>(
        length,
        [&](int64_t i, int k) {
          const V g = gate.vector(begin + i, load(grad + begin + i));
          firsts[k] += g;
          seconds[k] += g * (load(x + begin + i) - centres);
        },
        [&](int64_t i) {
          const A g = gate.scalar(begin + i, widen(grad[begin + i]));
          first += g;
          second += g * (widen(x[begin + i]) - centre);
        });
    sums.grad += first + sum((firsts[0] + firsts[1]) + (firsts[2] + firsts[3]));
    sums.grad_x += second + sum((seconds[0] + seconds[1]) + (seconds[2] + seconds[3]));
  }
  return sums;
}

// As row_sums, of four short rows that follow each other; gates[r] is that of the rth.
template <typename T, typename Gate>
inline void four_sums(const T* x, const T* grad, int64_t size, const Accumulate<T>* centres,
                      const Gate* gates, double* grads, double* grad_xs) {
  using A = Accumulate<T>;
  using V = Vector<A>;
  constexpr int lanes = kLanes<A>;
  const int64_t whole = size / lanes * lanes;
  V firsts[4] = {}, seconds[4] = {};
  for (int64_t i = 0; i < whole; i += lanes) {
    unrolled<4>([&](int r) {
      const V g = gates[r].vector(i, load(grad + r * size + i));
      firsts[r] += g;
      seconds[r] += g * (load(x + r * size + i) - broadcast(centres[r]));
    });
  }
  Four<A> first = sums(firsts[0], firsts[1], firsts[2], firsts[3]);
  Four<A> second = sums(seconds[0], seconds[1], seconds[2], seconds[3]);
  for (int64_t i = whole; i < size; ++i) {
    unrolled<4>([&](int r) {
      const A g = gates[r].scalar(i, widen(grad[r * size + i]));
      first.of[r] += g;
      second.of[r] += g * (widen(x[r * size + i]) - centres[r]);
    });
  }
  unrolled<4>([&](int r) {
    grads[r] = first.of[r];
    grad_xs[r] = second.of[r];
  });
}

// y = scale * (x - centre) + shift + residual, with the ReLU if asked for. residual, mask: or null.
template <typename T, Store how, bool kRelu, bool kResidual>
NORMLIB_INLINED void apply_row(const T* x, const T* residual, T* y, uint8_t* mask, int64_t size,
                      RowAffine<Accumulate<T>> affine) {
  using A = Accumulate<T>;
  using V = Vector<A>;
  if constexpr (how == Store::streamed) {
    if (!is_streamable(y)) {
      return apply_row<T, Store::cached, kRelu, kResidual>(x, residual, y, mask, size, affine);
    }
  }
  for_each<kLanes<A>>(
      size,
      [&](int64_t i, int) {
        V v = affine.vector(load(x + i));
        if constexpr (kResidual) v += load(residual + i);
        if constexpr (kRelu) {
          const Mask<A> positive = passes_relu(v);
          if (mask) store_mask<A>(mask, i, positive);
          v = where<A>(positive, v);
        }
        store<how>(y + i, v);
      },
      [&](int64_t i) {
        A v = affine.scalar(widen(x[i]));
        if constexpr (kResidual) v += widen(residual[i]);
        if constexpr (kRelu) {
          const bool positive = passes_relu(v);
          if (mask) store_mask_bit(mask, i, positive);
          v = positive ? v : A{0};
        }
        y[i] = narrow<T>(v);
      });
}

// dx = grad_scale * dy + x_scale * (x - centre) + shift; dresidual = dy. Each is null or written.
template <typename T, Store how, typename Gate>
NORMLIB_INLINED void backward_row(const T* x, const T* grad, T* dx, T* dresidual, int64_t size,
                         RowAffine<Accumulate<T>> affine, Accumulate<T> grad_scale, Gate gate) {
  using A = Accumulate<T>;
  if constexpr (how == Store::streamed) {
    if (!is_streamable(dx) || !is_streamable(dresidual)) {
      return backward_row<T, Store::cached>(x, grad, dx, dresidual, size, affine, grad_scale, gate);
    }
  }
  for_each<kLanes<A>>(
      size,
      [&](int64_t i, int) {
        const Vector<A> g = gate.vector(i, load(grad + i));
        if (dresidual) store<how>(dresidual + i, g);
        if (dx) store<how>(dx + i, g * grad_scale + affine.vector(load(x + i)));
      },
      [&](int64_t i) {
        const A g = gate.scalar(i, widen(grad[i]));
        if (dresidual) dresidual[i] = narrow<T>(g);
        if (dx) dx[i] = narrow<T>(g * grad_scale + affine.scalar(widen(x[i])));
      });
}

NORMLIB_END
