// The CUDA kernels behind plain pointers: includes no header of CUDA or PyTorch.
//
// A forward pass is statistics and apply, or forward_on_chip; a backward pass is backward_reduce
// and backward_apply. Where batch statistics are shared between processes, a collective and merge
// come between statistics and apply, and a sum of channel_grad between the two backward functions.
//
// Each function enqueues on `stream` (a cudaStream_t) of the current device, does not wait for it,
// and returns null or a static text that says what CUDA refused.

#pragma once

#include <cstddef>
#include <cstdint>

#include "../problem.h"
#include "../sparsestmax.h"

namespace normlib::cuda {

// What the shape of a launch depends on.
struct Device {
  int multiprocessors;
  size_t shared_memory;  // bytes that a block can ask for
  bool cooperative;      // can launch grids that synchronise
};

// Costs microseconds: ask once for each device.
const char* query(int ordinal, Device* device);

// Device memory that statistics, forward_on_chip, backward_reduce and backward_apply need, aligned
// to 256 bytes. Nothing is kept in it between calls.
size_t workspace_bytes(const Problem&, const Device&);

// Fills offset, variance, layer and channel, and moves running_mean and running_var. Two launches.
const char* statistics(const Problem&, const Device&, void* workspace, void* stream);

// Fills y and mask. One launch.
const char* apply(const Problem&, const Device&, void* stream);

// Whether forward_on_chip serves this problem: not where batch comes from other processes as well.
bool fits_on_chip(const Problem&, const Device&);

// statistics and apply in one cooperative launch that reads x once.
const char* forward_on_chip(const Problem&, const Device&, void* workspace, void* stream);

// Fills sums, layer_grad, channel_grad, dweight and dbias. Two launches.
const char* backward_reduce(const Problem&, const Device&, void* workspace, void* stream);

// Fills dx, dresidual, dmean_ratios and dvar_ratios. One launch.
const char* backward_apply(const Problem&, const Device&, void* stream);

// Merges what the processes hold in `channel`, gathered in rows of 1 + 2 C, into `batch`.
const char* merge(const double* gathered, int64_t processes, int64_t channels, double* batch,
                  void* stream);

// SparsestMax of every row. One launch.
const char* sparsestmax(const SparsestProblem&, void* stream);

}  // namespace normlib::cuda
