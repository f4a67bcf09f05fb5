#include "../sparsestmax.h"

#include "kernels.h"
#include "launch.h"

namespace normlib::cuda {
namespace {

__global__ __launch_bounds__(kThreads) void sparsestmax_kernel(SparsestProblem p) {
  const int64_t row = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (row < p.rows) sparsestmax_row(p, row);
}

}  // namespace

const char* sparsestmax(const SparsestProblem& p, void* stream) {
  if (p.rows == 0) return nullptr;
  return launch(sparsestmax_kernel, {static_cast<unsigned>((p.rows - 1) / kThreads + 1)}, stream, p);
}

}  // namespace normlib::cuda
