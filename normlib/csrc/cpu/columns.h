// Sweeps over a block of rows of up to kStretch channels, where the channels of a position lie
// together in memory: every channel is a column.

#pragma once

#include <algorithm>

#include "coefficients.h"
#include "vector.h"

NORMLIB_BEGIN

// Rows that a float may sum, one by one, before a double takes over.
constexpr int64_t kBlock = 128;

// Rows of `width` elements, `stride` apart.
template <typename T>
struct Block {
  T* data;
  int64_t rows, width, stride;

  T* row(int64_t r) const { return data + r * stride; }
};

template <typename T>
Block<T> part_of(const Block<T>& block, int64_t begin, int64_t rows) {
  return {block.row(begin), rows, block.width, block.stride};
}

// Calls vector(i) for whole vectors of columns, then scalar(i) for the columns that are left.
template <int lanes, typename OnVector, typename OnScalar>
NORMLIB_INLINED void for_each_column(int64_t width, OnVector&& vector, OnScalar&& scalar) {
  int64_t i = 0;
  for (; i + lanes <= width; i += lanes) vector(i);
  for (; i < width; ++i) scalar(i);
}

// Adds the rows to `totals`.
template <typename T, typename A>
inline void add_rows(const Block<const T>& block, A* totals) {
  for (int64_t r = 0; r < block.rows; ++r) {
    const T* row = block.row(r);
    for_each_column<kLanes<A>>(
        block.width, [&](int64_t i) { store(totals + i, load(totals + i) + load(row + i)); },
        [&](int64_t i) { totals[i] += widen(row[i]); });
  }
}

// Adds the deviations of `count` rows from `centre`, and their squares.
template <int count, typename T, typename A>
inline void add_deviations_of(const T* row, int64_t stride, int64_t width, const A* centre,
                              A* firsts, A* seconds) {
  for_each_column<kLanes<A>>(
      width,
      [&](int64_t i) {
        const Vector<A> c = load(centre + i);
        Vector<A> first = load(firsts + i), second = load(seconds + i);
        unrolled<count>([&](int k) {
          __builtin_prefetch(row + (k + count) * stride + i);
          const Vector<A> d = load(row + k * stride + i) - c;
          first += d;
          second += d * d;
        });
        store(firsts + i, first);
        store(seconds + i, second);
      },
      [&](int64_t i) {
        unrolled<count>([&](int k) {
          const A d = widen(row[k * stride + i]) - centre[i];
          firsts[i] += d;
          seconds[i] += d * d;
        });
      });
}

// Adds the deviations from `centre` and their squares; four rows at a time, for the sums to be read
// and written once for the four.
template <typename T, typename A>
inline void add_deviations(const Block<const T>& block, const A* centre, A* firsts, A* seconds) {
  int64_t r = 0;
  for (; r + 4 <= block.rows; r += 4) {
    add_deviations_of<4>(block.row(r), block.stride, block.width, centre, firsts, seconds);
  }
  for (; r < block.rows; ++r) {
    add_deviations_of<1>(block.row(r), block.stride, block.width, centre, firsts, seconds);
  }
}

// Mean and sum of squared deviations of every column. Deviations are taken from the mean of the
// rows before: however far that is from the mean of a block, what is lost is small against the
// distance, which is part of the result. The first rows are stepped over twice.
template <typename T>
inline void column_moments(const Block<const T>& all, double* means, double* m2s) {
  using A = Accumulate<T>;
  alignas(64) A centre[kPadded], firsts[kPadded], seconds[kPadded];
  std::fill_n(centre, all.width, A{0});
  const int64_t first_rows = all.rows < 8 ? all.rows : 8;
  add_rows(part_of(all, 0, first_rows), centre);
  for (int64_t i = 0; i < all.width; ++i) {
    means[i] = centre[i] / static_cast<A>(first_rows);
    m2s[i] = 0;
  }
  int64_t begin = 0, rows = first_rows;
  while (begin < all.rows) {
    for (int64_t i = 0; i < all.width; ++i) centre[i] = static_cast<A>(means[i]);
    std::fill_n(firsts, all.width, A{0});
    std::fill_n(seconds, all.width, A{0});
    add_deviations(part_of(all, begin, rows), centre, firsts, seconds);

    const double count = static_cast<double>(begin), added = static_cast<double>(rows);
    const double share = added / (count + added);
    for (int64_t i = 0; i < all.width; ++i) {
      const double rest = firsts[i] / added;
      const double delta = centre[i] + rest - means[i];
      means[i] += share * delta;
      m2s[i] += seconds[i] - added * rest * rest + count * share * delta * delta;
    }
    begin += rows;
    rows = std::min(kBlock, all.rows - begin);
  }
}

// The gradients that pass the ReLU, by row and column.
template <typename T>
struct ColumnsAlways {
  using A = Accumulate<T>;
  Vector<A> vector(int64_t, int64_t, Vector<A> grad) const {
    return grad;
  }
  A scalar(int64_t, int64_t, A grad) const {
    return grad;
  }
};

template <typename T>
struct ColumnsWhereMaskSet {
  using A = Accumulate<T>;
  const uint8_t* mask;  // of the first row
  int64_t stride;       // in bytes
  int64_t first;        // column at which the block starts, a multiple of 8
  Vector<A> vector(int64_t r, int64_t i, Vector<A> grad) const {
    return where<A>(load_mask<A>(mask + r * stride, first + i), grad);
  }
  A scalar(int64_t r, int64_t i, A grad) const {
    return load_mask_bit(mask + r * stride, first + i) ? grad : A{0};
  }
};

template <typename A>
inline Vector<A> affine_vector(const Affine<A>& f, int64_t i, Vector<A> x) {
  return (x - load(f.centre + i)) * load(f.scale + i) + load(f.shift + i);
}
template <typename A>
inline A affine_scalar(const Affine<A>& f, int64_t i, A x) {
  return (x - f.centre[i]) * f.scale[i] + f.shift[i];
}

template <typename T>
struct ColumnsWherePositive {
  using A = Accumulate<T>;
  const Block<const T>& x;
  const Affine<A>& affine;
  Vector<A> vector(int64_t r, int64_t i, Vector<A> grad) const {
    return where<A>(passes_relu(affine_vector<A>(affine, i, load(x.row(r) + i))), grad);
  }
  A scalar(int64_t r, int64_t i, A grad) const {
    return passes_relu(affine_scalar<A>(affine, i, widen(x.row(r)[i]))) ? grad : A{0};
  }
};

// Sums of dy and of dy * (x - centre) over the rows.
template <typename T, typename Gate>
inline void column_sums(const Block<const T>& x, const Block<const T>& grad,
                        const Accumulate<T>* centre, Gate gate, double* grads, double* grad_xs) {
  using A = Accumulate<T>;
  alignas(64) A firsts[kPadded], seconds[kPadded];
  for (int64_t i = 0; i < x.width; ++i) grads[i] = grad_xs[i] = 0;
  for (int64_t begin = 0; begin < x.rows; begin += kBlock) {
    const int64_t end = std::min(x.rows, begin + kBlock);
    std::fill_n(firsts, x.width, A{0});
    std::fill_n(seconds, x.width, A{0});
    for (int64_t r = begin; r < end; ++r) {
      const T *row = x.row(r), *upstream = grad.row(r);
      for_each_column<kLanes<A>>(
          x.width,
          [&](int64_t i) {
            const Vector<A> g = gate.vector(r, i, load(upstream + i));
            store(firsts + i, load(firsts + i) + g);
            store(seconds + i, load(seconds + i) + g * (load(row + i) - load(centre + i)));
          },
          [&](int64_t i) {
            const A g = gate.scalar(r, i, widen(upstream[i]));
            firsts[i] += g;
            seconds[i] += g * (widen(row[i]) - centre[i]);
          });
    }
    for (int64_t i = 0; i < x.width; ++i) {
      grads[i] += firsts[i];
      grad_xs[i] += seconds[i];
    }
  }
}

// As apply_row; `residual` and `mask` (of the first row, `mask_stride` bytes apart, at column
// `first`) may be null.
template <typename T, Store how, bool kRelu, bool kResidual>
inline void apply_columns(const Block<const T>& x, const T* residual, T* y, uint8_t* mask,
                          int64_t mask_stride, int64_t first, const Affine<Accumulate<T>>& affine) {
  using A = Accumulate<T>;
  if constexpr (how == Store::streamed) {
    if (!is_streamable(y) || x.stride % kLanes<A> != 0) {
      return apply_columns<T, Store::cached, kRelu, kResidual>(x, residual, y, mask, mask_stride,
                                                               first, affine);
    }
  }
  for (int64_t r = 0; r < x.rows; ++r) {
    const T* from = x.row(r);
    const T* added = kResidual ? residual + r * x.stride : nullptr;
    T* to = y + r * x.stride;
    uint8_t* bits = mask ? mask + r * mask_stride : nullptr;
    for_each_column<kLanes<A>>(
        x.width,
        [&](int64_t i) {
          Vector<A> v = affine_vector<A>(affine, i, load(from + i));
          if constexpr (kResidual) v += load(added + i);
          if constexpr (kRelu) {
            const Mask<A> positive = passes_relu(v);
            if (bits) store_mask<A>(bits, first + i, positive);
            v = where<A>(positive, v);
          }
          store<how>(to + i, v);
        },
        [&](int64_t i) {
          A v = affine_scalar<A>(affine, i, widen(from[i]));
          if constexpr (kResidual) v += widen(added[i]);
          if constexpr (kRelu) {
            const bool positive = passes_relu(v);
            if (bits) store_mask_bit(bits, first + i, positive);
            v = positive ? v : A{0};
          }
          to[i] = narrow<T>(v);
        });
  }
}

// As backward_row; dx and dresidual may be null.
template <typename T, Store how, typename Gate>
inline void backward_columns(const Block<const T>& x, const Block<const T>& grad, T* dx,
                             T* dresidual, const InputAffine<Accumulate<T>>& f, Gate gate) {
  using A = Accumulate<T>;
  if constexpr (how == Store::streamed) {
    if (!is_streamable(dx) || !is_streamable(dresidual) || x.stride % kLanes<A> != 0) {
      return backward_columns<T, Store::cached>(x, grad, dx, dresidual, f, gate);
    }
  }
  for (int64_t r = 0; r < x.rows; ++r) {
    const T *from = x.row(r), *upstream = grad.row(r);
    T* to = dx ? dx + r * x.stride : nullptr;
    T* passed = dresidual ? dresidual + r * x.stride : nullptr;
    for_each_column<kLanes<A>>(
        x.width,
        [&](int64_t i) {
          const Vector<A> g = gate.vector(r, i, load(upstream + i));
          if (passed) store<how>(passed + i, g);
          if (to) {
            store<how>(to + i, g * load(f.grad + i) + (load(from + i) - load(f.centre + i)) *
                                                          load(f.x + i) + load(f.shift + i));
          }
        },
        [&](int64_t i) {
          const A g = gate.scalar(r, i, widen(upstream[i]));
          if (passed) passed[i] = narrow<T>(g);
          if (to) {
            to[i] = narrow<T>(g * f.grad[i] + (widen(from[i]) - f.centre[i]) * f.x[i] +
                              f.shift[i]);
          }
        });
  }
}

NORMLIB_END
