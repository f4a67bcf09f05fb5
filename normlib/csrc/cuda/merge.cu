#include "../statistics.h"
#include "launch.h"

namespace normlib::cuda {
namespace {

__global__ __launch_bounds__(kThreads) void merge_kernel(const double* gathered, int64_t processes,
                                                         int64_t channels, double* batch) {
  const int64_t row = 1 + 2 * channels;
  const int64_t c = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  Moments<double> total{};
  for (int64_t process = 0; process < processes; ++process) {
    const double* own = gathered + process * row;
    Moments<double> moments{own[0], 0, 0};
    if (c < channels) {
      moments.mean = own[1 + c];
      moments.m2 = own[0] * own[1 + channels + c];
    }
    total = normlib::merge(total, moments);
  }
  if (c == 0) batch[0] = total.count;
  if (c >= channels) return;
  batch[1 + c] = total.mean;
  batch[1 + channels + c] = total.count == 0 ? 0 : total.m2 / total.count;
}

}  // namespace

const char* merge(const double* gathered, int64_t processes, int64_t channels, double* batch,
                  void* stream) {
  return launch(merge_kernel, {static_cast<unsigned>(channels / kThreads + 1)}, stream, gathered,
                processes, channels, batch);
}

}  // namespace normlib::cuda
