// Statistics from the moments of parts.

#pragma once

#include "mixture.h"
#include "moments.h"

namespace normlib::cuda {

struct InstanceMoments {
  double mean, var;
};

// Moments of one sample and channel, in all threads of its row and column; called by all threads.
// exists: whether this n and c do.
__device__ __forceinline__ InstanceMoments merge_parts(const Partials<PartMoments>& partials,
                                                       const MergePlace& place, int64_t n,
                                                       int64_t c, bool exists, double* shared) {
  double origin = 0;
  double sums[2] = {};  // first and second moment about the origin
  if (exists) {
    origin = partials.at(n, 0, c).mean;
    for (unsigned part = place.part_lane; part < partials.parts; part += place.part_lanes) {
      const PartMoments moments = partials.at(n, part, c);
      const double delta = moments.mean - origin;
      const double weighted = partials.length(part) * delta;
      sums[0] += weighted;
      sums[1] += moments.m2 + weighted * delta;
    }
  }
  group_sum(sums, kMergeColumns, place.part_lanes, shared);
  const double shift = sums[0] / partials.positions;
  return {origin + shift, sums[1] / partials.positions - shift * shift};
}

// Mean and variance of instances together, each of the same weight.
class InstanceSums {
 public:
  __device__ __forceinline__ InstanceSums(const Problem& p, double origin)
      : origin_(origin), factor_(p.settings.instance_factor(p.positions)) {}

  __device__ __forceinline__ void add(const InstanceMoments& instance) {
    const double delta = instance.mean - origin_;
    sums_[0] += delta;
    sums_[1] += factor_ * instance.var + delta * delta;
  }

  // Called by all threads: those of a column of `columns` sum together.
  __device__ __forceinline__ InstanceMoments finish(int64_t count, int columns, double* shared) {
    group_sum(sums_, columns, blockDim.x / columns, shared);
    const double shift = sums_[0] / count;
    return {origin_ + shift, sums_[1] / count - shift * shift};
  }

 private:
  double origin_, factor_;
  double sums_[2] = {};
};

template <typename A>
__device__ __forceinline__ void move_average(void* averages, int64_t index, double value,
                                             double momentum) {
  if (averages == nullptr) return;
  A& average = static_cast<A*>(averages)[index];
  const double before = static_cast<double>(average);
  average = static_cast<A>(before + momentum * (value - before));
}

// What `channel` holds of one channel, given its moments over the samples.
template <typename A>
__device__ __forceinline__ InstanceMoments channel_moments(const Problem& p, int64_t c,
                                                           InstanceMoments batch) {
  if (p.fixed_mean != nullptr) {
    return {element_or<A>(p.fixed_mean, c, 0), element_or<A>(p.fixed_var, c, 1)};
  }
  // Where it takes no part, the mean is only what the offsets are counted from, and must not spread
  // what is not finite.
  if ((p.settings.normalizers & kBatch) == 0 && !isfinite(batch.mean)) batch.mean = 0;
  return batch;
}

// Fills offset, variance, channel and the running averages of kMergeColumns channels.
template <typename A>
__device__ __forceinline__ void merge_channels(const Problem& p,
                                               const Partials<PartMoments>& partials,
                                               unsigned block, double* shared) {
  const MergePlace place(partials.parts);
  const int64_t c = int64_t{block} * kMergeColumns + place.column;
  const bool exists = c < p.channels;

  InstanceSums sums(p, exists ? partials.at(0, 0, c).mean : 0.0);
  for (int64_t first = 0; first < p.samples; first += place.rows) {
    const int64_t n = first + place.row;
    const bool own = exists && n < p.samples;
    const InstanceMoments instance = merge_parts(partials, place, n, c, own, shared);
    if (!own || place.part_lane != 0) continue;
    sums.add(instance);
    static_cast<A*>(p.variance)[n * p.channels + c] = static_cast<A>(instance.var);
  }
  InstanceMoments batch = sums.finish(p.samples, kMergeColumns, shared);
  if (exists) batch = channel_moments<A>(p, c, batch);

  for (int64_t first = 0; first < p.samples; first += place.rows) {
    const int64_t n = first + place.row;
    const bool own = exists && n < p.samples;
    const InstanceMoments instance = merge_parts(partials, place, n, c, own, shared);
    if (!own || place.part_lane != 0) continue;
    static_cast<A*>(p.offset)[n * p.channels + c] = static_cast<A>(instance.mean - batch.mean);
  }

  if (block == 0 && threadIdx.x == 0) p.channel[0] = static_cast<double>(p.samples * p.positions);
  if (exists && threadIdx.x < kMergeColumns) {
    p.channel[1 + c] = batch.mean;
    p.channel[1 + p.channels + c] = batch.var;
    move_average<A>(p.running_mean, c, batch.mean, p.momentum);
    move_average<A>(p.running_var, c, batch.var, p.momentum);
  }
}

// Fills layer of one sample.
__device__ __forceinline__ void merge_layer(const Problem& p, const Partials<PartMoments>& partials,
                                            int64_t n, double* shared) {
  const MergePlace place(partials.parts);
  InstanceSums sums(p, partials.at(n, 0, 0).mean);
  for (int64_t first = 0; first < p.channels; first += place.rows * kMergeColumns) {
    const int64_t c = first + place.row * kMergeColumns + place.column;
    const bool own = c < p.channels;
    const InstanceMoments instance = merge_parts(partials, place, n, c, own, shared);
    if (own && place.part_lane == 0) sums.add(instance);
  }
  const InstanceMoments layer = sums.finish(p.channels, 1, shared);
  if (threadIdx.x == 0) {
    p.layer[2 * n] = layer.mean;
    p.layer[2 * n + 1] = layer.var;
  }
}

template <typename A>
__device__ __forceinline__ void merge_moments(const Problem& p,
                                              const Partials<PartMoments>& partials,
                                              unsigned channel_blocks, unsigned block,
                                              double* shared) {
  if (block < channel_blocks) {
    merge_channels<A>(p, partials, block, shared);
  } else {
    merge_layer(p, partials, block - channel_blocks, shared);
  }
}

}  // namespace normlib::cuda
