// Moments of the parts of each sample and channel: the sweep of the forward statistics.

#pragma once

#include "group.h"
#include "partials.h"
#include "sweep.h"

namespace normlib::cuda {

// Mean and sum of squared deviations over one part.
struct PartMoments {
  double mean, m2;
};

// Sums of x - shift and of its square. The shift is the mean of what the group loads first, so that
// neither a mean far from zero nor an odd first element costs digits.
//
// cache.keep(k, vector) is offered what is loaded.
template <typename T, int V, int channels, typename Cache>
class MomentSums {
 public:
  using A = Accumulation<T>;

  __device__ __forceinline__ MomentSums(const T* x, A* shared, const Tiling& tiling, Cache cache)
      : x_(x), shared_(shared), columns_(tiling.columns), lanes_(tiling.lanes), cache_(cache) {}

  template <int width, int count>
  __device__ __forceinline__ void visit(const Batch<width>& batch) {
    Vector<T, width> x[count];
#pragma unroll
    for (int k = 0; k < count; ++k) {
      if (batch.has(k)) x[k] = load<width>(x_ + batch.at(k));
    }
    if constexpr (count == kBatch) {
      cache_.keep(batch, x);
      if (!has_shift_) choose_shift(batch, x);
    }
#pragma unroll
    for (int k = 0; k < count; ++k) {
      if (!batch.has(k)) continue;
#pragma unroll
      for (int j = 0; j < width; ++j) {
        const int c = j % channels;
        const A delta = x[k].get(j) - shift_[c];
        sums_[2 * c] += delta;
        sums_[2 * c + 1] = fma(delta, delta, sums_[2 * c + 1]);
      }
    }
  }

  // Moments over the `length` positions of the part, in every thread of the group; called by all.
  __device__ __forceinline__ void finish(int length, PartMoments (&moments)[channels]) {
    group_sum(sums_, columns_, lanes_, shared_);
#pragma unroll
    for (int c = 0; c < channels; ++c) {
      const double sum = static_cast<double>(sums_[2 * c]);
      const double m2 = static_cast<double>(sums_[2 * c + 1]) - sum * sum / length;
      // A comparison that leaves NaN alone, as max would not.
      moments[c] = {static_cast<double>(shift_[c]) + sum / length, m2 < 0 ? 0.0 : m2};
    }
  }

 private:
  // Called by all threads, in their first visit.
  template <int width, int count>
  __device__ __forceinline__ void choose_shift(const Batch<width>& batch,
                                               const Vector<T, width> (&x)[count]) {
    A sums[channels + 1] = {};  // of the values of each channel, and how many these are
#pragma unroll
    for (int k = 0; k < count; ++k) {
      if (!batch.has(k)) continue;
#pragma unroll
      for (int j = 0; j < width; ++j) sums[j % channels] += x[k].get(j);
      sums[channels] += width / channels;
    }
    group_sum(sums, columns_, lanes_, shared_);
    // A part shorter than a vector has none to take a mean of: its few elements need no shift.
    const A number = sums[channels] == 0 ? 1 : sums[channels];
#pragma unroll
    for (int c = 0; c < channels; ++c) shift_[c] = sums[c] / number;
    has_shift_ = true;
  }

  const T* x_;
  A* shared_;
  int columns_, lanes_;
  Cache cache_;
  bool has_shift_ = false;
  A shift_[channels] = {};
  A sums_[2 * channels] = {};
};

struct NoCache {
  template <typename Batch, typename Vectors>
  __device__ __forceinline__ void keep(const Batch&, const Vectors&) {}
};

// Writes the moments of the part of each unit that a block of the tiling takes.
template <typename T, int V, bool channels_last, typename Cache>
__device__ __forceinline__ void part_moments(const Problem& p, const Tiling& t, unsigned block,
                                             const Partials<PartMoments>& partials,
                                             Accumulation<T>* shared, Cache cache) {
  using ThreadShare = Share<T, V, channels_last>;
  const Place place(p, t, block);
  const ThreadShare share(p, t, place);
  MomentSums<T, V, ThreadShare::kChannels, Cache> sums(static_cast<const T*>(p.x), shared, t,
                                                       cache);
  share.template sweep<kBatch>(sums);
  PartMoments moments[ThreadShare::kChannels];
  sums.finish(share.length, moments);
  if (place.active && place.lane == 0) partials.store(p, place, moments);
}

}  // namespace normlib::cuda
