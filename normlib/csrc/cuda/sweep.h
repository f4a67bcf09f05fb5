// How a thread walks over its share of a tensor.

#pragma once

#include "element.h"
#include "tiling.h"

namespace normlib::cuda {

__device__ __forceinline__ int64_t mask_bytes(int64_t row) { return (row + 7) / 8; }

// The place of this thread in a block of the tiling.
struct Place {
  int64_t unit;
  int64_t channel;  // the first, where a unit is a sample; else 0
  unsigned part;
  int lane;
  bool active;  // whether unit and channel exist

  __device__ __forceinline__ Place(const Problem& p, const Tiling& t, unsigned block) {
    const int column = threadIdx.x % t.columns;
    lane = threadIdx.x / t.columns % t.lanes;
    const unsigned row = block / t.tiles;
    part = row % t.parts;
    unit = int64_t{row / t.parts} * t.groups + threadIdx.x / (t.columns * t.lanes);
    channel = p.channels_last ? (int64_t{block % t.tiles} * t.columns + column) * t.vector : 0;
    active = unit < t.units && channel < p.channels;
  }
};

// Vectors of `width` elements that a thread takes together: vector k is number index + k * step of
// those that the threads share, and exists below end.
template <int width>
struct Batch {
  int64_t offset;  // of vector 0, in elements
  int64_t stride;
  int index, step, end;

  __device__ __forceinline__ bool has(int k) const { return index + k * step < end; }
  __device__ __forceinline__ int64_t at(int k) const { return offset + k * stride; }
};

// A thread's share of one part of a unit.
template <typename T, int V, bool channels_last>
struct Share {
  // Channels of a vector: its elements, where the channels of a position lie together.
  static constexpr int kChannels = channels_last ? V : 1;

  int64_t offset;  // of the first element, in the tensor
  int64_t stride;  // from a vector to the next, in elements
  int64_t mask_offset;
  int64_t mask_stride;  // from a position to the next, in bytes (channels_last)
  int channel_bit;
  int length;  // positions
  int head;    // elements before the first vector
  int vectors;
  int lane, lanes;
  bool active;

  __device__ __forceinline__ Share(const Problem& p, const Tiling& t, const Place& place) {
    const int64_t begin = place.part * t.part_size;
    const int64_t left = p.positions - begin;
    length = static_cast<int>(left < t.part_size ? left : t.part_size);
    lane = place.lane;
    lanes = t.lanes;
    active = place.active;
    head = 0;
    if constexpr (channels_last) {
      const int64_t row = place.unit * p.positions + begin;
      offset = row * p.channels + place.channel;
      stride = p.channels;
      mask_stride = mask_bytes(p.channels);
      mask_offset = row * mask_stride + place.channel / 8;
      channel_bit = static_cast<int>(place.channel % 8);
      vectors = length;
    } else {
      offset = place.unit * p.positions + begin;
      stride = V;
      mask_stride = 0;
      mask_offset = place.unit * mask_bytes(p.positions) + begin / 8;
      channel_bit = 0;
      if constexpr (V > 1) {
        const T* first = static_cast<const T*>(p.x) + offset;
        const int past = static_cast<int>(reinterpret_cast<uintptr_t>(first) / sizeof(T) % V);
        const int until = past == 0 ? 0 : V - past;
        head = until < length ? until : length;
      }
      vectors = (length - head) / V;
    }
  }

  // The byte of the mask with the bits of a vector, and the first of these bits.
  __device__ __forceinline__ int64_t mask_byte(int vector) const {
    return channels_last ? mask_offset + vector * mask_stride : mask_offset + vector * V / 8;
  }
  __device__ __forceinline__ int mask_bit(int vector) const {
    return channels_last ? channel_bit : vector * V % 8;
  }

  // Calls pass.visit<width, count>(batch) for all vectors, `count` at a time, then for the single
  // elements before and after them. All threads of a group make the same calls for vectors, and at
  // least one.
  template <int count, typename Pass>
  __device__ __forceinline__ void sweep(Pass& pass) const {
    int first = lane;
    do {
      pass.template visit<V, count>(Batch<V>{offset + head + first * stride, lanes * stride, first,
                                             lanes, active ? vectors : 0});
      first += count * lanes;
    } while (first - lane < vectors);
    if constexpr (V > 1 && !channels_last) {
      if (!active) return;
      const int singles = length - vectors * V;
      for (int i = lane; i < singles; i += lanes) {
        const int64_t at = offset + (i < head ? i : i + vectors * V);
        pass.template visit<1, 1>(Batch<1>{at, 0, 0, 1, 1});
      }
    }
  }
};

}  // namespace normlib::cuda
