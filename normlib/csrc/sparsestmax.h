// SparsestMax of one vector, and its derivative, on the host and on the device.
//
// The formulas and names are those of normlib/ops/sparsestmax.py.

#pragma once

#include <cfloat>
#include <cmath>

#include "problem.h"

namespace normlib {

// A vector has at most as many entries.
constexpr int kMostRatios = 8;

// Vectors of one dtype, one after the other. A is float or double.
struct SparsestProblem {
  bool wide;           // logits, ratios and jacobian are double, not float
  bool wide_radius;    // so is the radius
  int64_t rows;
  int count;           // K: entries of a vector
  const void* logits;  // A (rows, K)
  const void* radius;  // ()
  void* ratios;        // A (rows, K)
  void* jacobian;      // A (rows, K, K): entry [i, j] is the derivative of ratio i by logit j

  NORMLIB_HOST_DEVICE double radius_value() const {
    return wide_radius ? *static_cast<const double*>(radius)
                       : static_cast<double>(*static_cast<const float*>(radius));
  }
};

template <typename A>
NORMLIB_HOST_DEVICE void sparsestmax_row(const A* logits, int count, double radius, A* ratios,
                                         A* jacobian) {
  double z[kMostRatios];
  int order[kMostRatios];
  double largest = static_cast<double>(logits[0]);
  for (int k = 1; k < count; ++k) {
    largest = logits[k] > largest ? static_cast<double>(logits[k]) : largest;
  }
  bool finite = true;
  for (int k = 0; k < count; ++k) {
    z[k] = static_cast<double>(logits[k]) - largest;
    finite = finite && z[k] >= -DBL_MAX;
    int place = k;
    for (; place > 0 && z[order[place - 1]] < z[k]; --place) order[place] = order[place - 1];
    order[place] = k;
  }

  // Of the n largest, at n - 1.
  double gap[kMostRatios], spread[kMostRatios], total = 0, squares = 0;
  int support = 1;
  for (int n = 1; n <= count; ++n) {
    const double next = z[order[n - 1]];
    total += next;
    squares += next * next;
    gap[n - 1] = total - n * next;
    spread[n - 1] = squares - total * total / n;
    if (gap[n - 1] < 1) support = n;
  }
  const double squared = radius * radius;
  const bool pushed = spread[support - 1] > 0 && spread[support - 1] < squared;
  const auto squared_radius = [&](int n) { return squared - 1.0 / n + 1.0 / support; };
  int size = support;
  while (pushed && size > 1 && squared_radius(size) * gap[size - 1] * gap[size - 1] >
                                   spread[size - 1]) {
    --size;
  }

  double mean = 0, distance = 0;
  for (int k = 0; k < size; ++k) mean += z[order[k]];
  mean /= size;
  double offset[kMostRatios] = {};
  bool face[kMostRatios] = {};
  for (int k = 0; k < size; ++k) {
    face[order[k]] = true;
    offset[order[k]] = z[order[k]] - mean;
    distance += offset[order[k]] * offset[order[k]];
  }
  distance = sqrt(distance);
  const double final_radius =
      pushed && spread[size - 1] > 0 ? sqrt(fmax(squared_radius(size), 0.0)) : 0;
  const double scale = final_radius > 0 ? final_radius / distance : 1;
  const double inward = final_radius > 0 ? 1 / (distance * distance) : 0;
  for (int i = 0; i < count; ++i) {
    const double ratio = face[i] ? 1.0 / size + scale * offset[i] : 0;
    ratios[i] = static_cast<A>(finite ? fmax(ratio, 0.0) : NAN);
    for (int j = 0; j < count; ++j) {
      const double slope =
          face[i] && face[j] && ratio >= 0
              ? scale * ((i == j) - 1.0 / size - inward * offset[i] * offset[j])
              : 0;
      jacobian[i * count + j] = static_cast<A>(finite ? slope : NAN);
    }
  }
}

template <typename A>
NORMLIB_HOST_DEVICE void sparsestmax_row(const SparsestProblem& p, int64_t row) {
  const int64_t at = row * p.count;
  sparsestmax_row(static_cast<const A*>(p.logits) + at, p.count, p.radius_value(),
                  static_cast<A*>(p.ratios) + at, static_cast<A*>(p.jacobian) + at * p.count);
}

NORMLIB_HOST_DEVICE void sparsestmax_row(const SparsestProblem& p, int64_t row) {
  p.wide ? sparsestmax_row<double>(p, row) : sparsestmax_row<float>(p, row);
}

}  // namespace normlib
