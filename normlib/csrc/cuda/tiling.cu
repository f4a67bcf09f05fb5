#include "tiling.h"

#include <algorithm>
#include <cstddef>

namespace normlib::cuda {
namespace {

// A column of threads covers a cache line where vectors allow it.
constexpr int kLineBytes = 128;

// Positions of a part are counted in int.
constexpr int64_t kLargestPart = int64_t{1} << 29;

int element_bytes(DataType dtype) {
  switch (dtype) {
    case DataType::float64: return 8;
    case DataType::float32: return 4;
    default: return 2;
  }
}

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

int64_t ceil_power_of_two(int64_t value) {
  int64_t power = 1;
  while (power < value) power *= 2;
  return power;
}

// Whether the rows of every tensor can be taken in vectors of 16 bytes.
bool vectorises(const Problem& p, int vector) {
  const void* tensors[] = {p.x, p.residual, p.y, p.grad, p.dx, p.dresidual};
  const auto misalignment = [](const void* pointer) {
    return reinterpret_cast<uintptr_t>(pointer) % 16;
  };
  for (const void* tensor : tensors) {
    if (tensor != nullptr && misalignment(tensor) != misalignment(p.x)) return false;
  }
  const int64_t row = p.channels_last ? p.channels : p.positions;
  if (row % vector == 0 && misalignment(p.x) == 0) return true;
  // Rows that begin between vectors have a head and a tail: worth it where they are long, and
  // possible where neither is needed for whole bytes of the mask.
  return !p.channels_last && p.mask == nullptr && row >= 4 * vector;
}

// parts: how many would fill the device. batches: the fewest batches of a thread worth a part.
void split(Tiling& t, int64_t positions, int64_t parts, int64_t batches) {
  const int64_t vector = t.columns == 1 ? t.vector : 1;
  const int64_t step = std::max<int64_t>(8, int64_t{t.lanes} * vector * kBatch);
  const int64_t most = std::max<int64_t>(1, positions / (step * batches));
  parts = std::max(std::clamp<int64_t>(parts, 1, most), ceil_div(positions, kLargestPart));
  t.part_size = ceil_div(ceil_div(positions, parts), step) * step;
  t.parts = static_cast<unsigned>(ceil_div(positions, t.part_size));
}

Tiling tiling(const Problem& p, int64_t target_blocks, int64_t batches) {
  Tiling t{1, 1, 1, kThreads, 0, 1, 0, 0, 0};
  if (empty(p)) return t;
  const int bytes = element_bytes(p.dtype);
  t.vector = vectorises(p, kVectorBytes / bytes) ? kVectorBytes / bytes : 1;
  // The bits of a byte of the mask come from adjacent threads.
  const int mask_threads = 8 / t.vector;
  int64_t vectors;
  if (p.channels_last) {
    const int64_t columns = ceil_power_of_two(ceil_div(p.channels, t.vector));
    const int most = std::min(kLineBytes / (t.vector * bytes), kWarp);
    t.columns = static_cast<int>(std::clamp<int64_t>(columns, mask_threads, most));
    t.tiles = static_cast<unsigned>(ceil_div(p.channels, t.columns * t.vector));
    t.units = p.samples;
    vectors = p.positions;
  } else {
    t.units = p.samples * p.channels;
    vectors = ceil_div(p.positions, t.vector);
  }
  const int64_t fewest_lanes = p.channels_last || p.mask == nullptr ? 1 : mask_threads;
  t.lanes = static_cast<int>(std::clamp<int64_t>(ceil_power_of_two(ceil_div(vectors, kBatch)),
                                                 fewest_lanes, kThreads / t.columns));
  t.groups = kThreads / (t.columns * t.lanes);
  const int64_t blocks = ceil_div(t.units, t.groups) * t.tiles;
  split(t, p.positions, ceil_div(target_blocks, std::max<int64_t>(1, blocks)), batches);
  t.blocks = static_cast<unsigned>(blocks * t.parts);
  return t;
}

}  // namespace

Tiling reduction_tiling(const Problem& problem, const Device& device) {
  // About one wave: every further part is a partial result to write, read and merge.
  return tiling(problem, 2 * device.multiprocessors, 2);
}

Tiling elementwise_tiling(const Problem& problem, const Device& device) {
  return tiling(problem, 16 * device.multiprocessors, 1);
}

}  // namespace normlib::cuda
