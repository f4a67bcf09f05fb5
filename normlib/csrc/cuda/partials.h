// Partial results of the parts of each sample and channel, and their merging.
//
// They lie in the workspace as [sample][part][channel]. Threads that merge are numbered (row, part
// lane, column): the columns take adjacent channels, the part lanes share the parts of a sample and
// channel, the rows take further samples or channels.

#pragma once

#include <algorithm>

#include "group.h"
#include "sweep.h"

namespace normlib::cuda {

// The channels whose partial results fill a line of the cache.
constexpr int kMergeColumns = 8;
constexpr int kMergeThreads = 1024;

template <typename Partial>
struct Partials {
  Partial* values;
  int64_t channels, positions;
  int64_t part_size;
  unsigned parts;

  Partials(const Problem& p, const Tiling& t, void* workspace)
      : values(static_cast<Partial*>(workspace)),
        channels(p.channels),
        positions(p.positions),
        part_size(t.part_size),
        parts(t.parts) {}

  __device__ __forceinline__ Partial& at(int64_t n, unsigned part, int64_t c) const {
    return values[(n * parts + part) * channels + c];
  }

  // Positions of a part.
  __device__ __forceinline__ int64_t length(unsigned part) const {
    const int64_t left = positions - part * part_size;
    return left < part_size ? left : part_size;
  }

  // Stores the results of a group's channels; called by one lane.
  template <int count>
  __device__ __forceinline__ void store(const Problem& p, const Place& place,
                                        const Partial (&results)[count]) const {
    const int64_t n = p.channels_last ? place.unit : place.unit / channels;
    const int64_t c = p.channels_last ? place.channel : place.unit % channels;
#pragma unroll
    for (int j = 0; j < count; ++j) at(n, place.part, c + j) = results[j];
  }
};

// The place of a thread in a block that merges, of any number of threads.
struct MergePlace {
  int column;
  int part_lane, part_lanes;  // threads that share the parts of a sample and channel
  int row, rows;              // samples, or sets of kMergeColumns channels, at a time

  __device__ __forceinline__ explicit MergePlace(unsigned parts) {
    const int lanes = blockDim.x / kMergeColumns;
    part_lanes = 1;
    while (part_lanes < lanes && part_lanes < static_cast<int>(parts)) part_lanes *= 2;
    rows = lanes / part_lanes;
    column = threadIdx.x % kMergeColumns;
    part_lane = threadIdx.x / kMergeColumns % part_lanes;
    row = threadIdx.x / (kMergeColumns * part_lanes);
  }
};

inline unsigned channel_blocks(const Problem& p) {
  return p.channels <= kMergeColumns
             ? 1
             : static_cast<unsigned>((p.channels + kMergeColumns - 1) / kMergeColumns);
}

// One block for each kMergeColumns channels, then one for each sample.
inline unsigned merge_blocks(const Problem& p) {
  return channel_blocks(p) + static_cast<unsigned>(p.samples);
}

// Enough for all samples of a block at once, or for all channels.
inline unsigned merge_threads(const Problem& p, unsigned parts) {
  const int64_t most = std::max(p.samples * kMergeColumns, p.channels) * parts;
  unsigned threads = kThreads;
  while (threads < kMergeThreads && threads < most) threads *= 2;
  return threads;
}

}  // namespace normlib::cuda
