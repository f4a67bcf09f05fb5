// How the elements of a tensor are shared out among blocks and threads.
//
// A unit is a row of S positions where the channels of a sample lie apart, and a sample of S rows
// of C channels where they lie together (channels_last). A block takes the same part of the
// positions of one or more units, and, of a sample, one tile of the channels. Its threads are
// numbered (group, lane, column), the column fastest: each group has a unit of its own, its lanes
// take every lanes-th vector along the positions, its columns lie side by side along the channels.

#pragma once

#include <cstdint>

#include "kernels.h"

namespace normlib::cuda {

constexpr int kThreads = 256;
constexpr int kWarp = 32;
constexpr int kVectorBytes = 16;

// Vectors that a thread loads before it uses the first.
constexpr int kBatch = 4;

struct Tiling {
  int vector;   // elements of a memory access: kVectorSize, or 1
  int columns;  // threads along the channels; 1 where these lie apart
  int lanes;    // threads along the positions
  int groups;   // units of a block; columns * lanes * groups is kThreads
  int64_t units;
  unsigned tiles;     // blocks along the channels
  unsigned parts;     // blocks along the positions
  int64_t part_size;  // positions of a part; a multiple of 8, so that no two parts share mask bytes
  unsigned blocks;
};

// Parts for sweeps that leave one partial result for each, and for sweeps that leave nothing.
Tiling reduction_tiling(const Problem&, const Device&);
Tiling elementwise_tiling(const Problem&, const Device&);

inline bool empty(const Problem& p) { return p.samples * p.channels * p.positions == 0; }

// Whether the statistics need no x: it is empty, or batch statistics alone are mixed and are given.
inline bool needs_no_sweep(const Problem& p) {
  return empty(p) ||
         (p.fixed_mean != nullptr && (p.settings.normalizers & (kInstance | kLayer)) == 0);
}

}  // namespace normlib::cuda
