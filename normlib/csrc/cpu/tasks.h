// How a pass is cut into tasks, the same way for any number of threads.

#pragma once

#include <algorithm>
#include <type_traits>

#include "coefficients.h"
#include "columns.h"
#include "kernels.h"
#include "rows.h"

NORMLIB_BEGIN

// Elements below which a second thread costs more than it saves.
constexpr int64_t kGrain = 1 << 14;
// Elements that cost as much as the gradients of one sample and channel.
constexpr int64_t kCost = 16;
// Elements of a tile.
constexpr int64_t kTile = 1 << 17;

inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Runs f(begin, end) on ranges that make up [0, count).
template <typename F>
void parallel(ParallelFor pool, int64_t count, int64_t elements_each, const F& f) {
  const int64_t grain = std::max<int64_t>(1, kGrain / std::max<int64_t>(1, elements_each));
  const auto task = [](int64_t begin, int64_t end, void* context) {
    (*static_cast<const F*>(context))(begin, end);
  };
  pool(0, count, grain, task, const_cast<void*>(static_cast<const void*>(&f)));
}

// Memory that a thread keeps between calls: fresh memory costs a page fault every 4 KB.
inline double* workspace(int64_t count) {
  thread_local Doubles memory(0);
  thread_local int64_t capacity = 0;
  if (count > capacity) {
    memory = Doubles(count);
    capacity = count;
  }
  return memory.get();
}

// Channels [first, first + count) of a sample.
struct Stretch {
  int64_t sample, first, count;
};

// A sweep over what another has just read does well to start where that has ended.
enum class Order { ascending, descending };

// Runs f(stretch) for stretches that make up the N * C, of about kTile elements where each of their
// channels stands for `elements_each`. They begin at a multiple of `together` and, but for the last
// of a sample, are as long as one.
template <Order order = Order::ascending, typename F>
void parallel_stretches(const Problem& p, ParallelFor pool, int64_t elements_each, int64_t together,
                        const F& f) {
  const int64_t units = divide_up(p.channels, together), elements = elements_each * together;
  const int64_t longest = std::min(kStretch / together, divide_up(kTile, elements));
  const auto run = [&](int64_t sample, int64_t unit, int64_t count) {
    const int64_t first = unit * together;
    f(Stretch{sample, first, std::min(count * together, p.channels - first)});
  };
  parallel(pool, p.samples * units, elements, [&](int64_t begin, int64_t end) {
    while (begin < end) {
      if constexpr (order == Order::ascending) {
        const int64_t sample = begin / units, unit = begin % units;
        const int64_t count = std::min({longest, units - unit, end - begin});
        run(sample, unit, count);
        begin += count;
      } else {
        const int64_t sample = (end - 1) / units, beyond = end - sample * units;
        const int64_t count = std::min({longest, beyond, end - begin});
        run(sample, beyond - count, count);
        end -= count;
      }
    }
  });
}

// Rows that are summed together: the same ones for any number of threads.
inline int64_t rows_together(const Problem& p) { return p.positions <= kShortRow ? 4 : 1; }

// Where the channels of a position lie together: some positions of a stretch of channels.
struct Tile {
  Stretch stretch;
  int64_t part, rows;
  int64_t begin;  // of its first element in x
  int64_t row;    // of its first element among the N * S
};

class Tiles {
 public:
  explicit Tiles(const Problem& p)
      : p_(p),
        width_(std::min(kStretch, p.channels)),
        rows_(std::min(std::max<int64_t>(1, kTile / width_), p.positions)),
        parts_(divide_up(p.positions, rows_)),
        stretches_(divide_up(p.channels, width_)) {}

  int64_t count() const { return p_.samples * parts_ * stretches_; }
  int64_t parts() const { return parts_; }
  int64_t elements() const { return rows_ * width_; }
  int64_t rows(int64_t part) const { return std::min(rows_, p_.positions - part * rows_); }

  Tile operator[](int64_t i) const {
    const int64_t first = i % stretches_ * width_;
    const int64_t part = i / stretches_ % parts_;
    const int64_t sample = i / (stretches_ * parts_);
    const int64_t row = sample * p_.positions + part * rows_;
    return {{sample, first, std::min(width_, p_.channels - first)},
            part,
            rows(part),
            row * p_.channels + first,
            row};
  }

 private:
  const Problem& p_;
  const int64_t width_, rows_, parts_, stretches_;
};

// Runs f(tile) for all tiles.
template <Order order = Order::ascending, typename F>
void parallel_tiles(ParallelFor pool, const Tiles& tiles, const F& f) {
  parallel(pool, tiles.count(), tiles.elements(), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      f(tiles[order == Order::ascending ? i : begin + end - 1 - i]);
    }
  });
}

template <typename T>
Block<const T> block_of(const Problem& p, const Tile& tile, const void* data) {
  return {static_cast<const T*>(data) + tile.begin, tile.rows, tile.stretch.count, p.channels};
}

template <typename T>
const T* offset_by(const void* data, int64_t elements) {
  return data ? static_cast<const T*>(data) + elements : nullptr;
}
template <typename T>
T* offset_by(void* data, int64_t elements) {
  return data ? static_cast<T*>(data) + elements : nullptr;
}

// Bytes of a result from which on it is streamed: by the time all of it is written, little of it
// would be left in a cache for those who read it next.
constexpr int64_t kStreamed = 1 << 23;

// Calls f(how), how an integral_constant of Store.
template <typename F>
void with_store(const Problem& p, const F& f) {
  if (p.bytes >= kStreamed) {
    f(std::integral_constant<Store, Store::streamed>{});
  } else {
    f(std::integral_constant<Store, Store::cached>{});
  }
}

// Rows of Problem::mask: their length in bytes.
inline int64_t mask_stride(const Problem& p) {
  return divide_up(p.channels_last ? p.channels : p.positions, 8);
}

NORMLIB_END
