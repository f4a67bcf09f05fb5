// The choice of an instruction set, and what needs none.

#include <algorithm>
#include <cstring>

#include "../statistics.h"
#include "kernels.h"

namespace normlib::cpu {

namespace baseline {
extern const Kernels kernels;
}
#if defined(NORMLIB_AVX2)
namespace avx2 {
extern const Kernels kernels;
}
#endif
#if defined(NORMLIB_AVX512)
namespace avx512 {
extern const Kernels kernels;
}
#endif

const Kernels* kernels(const char* instruction_set) {
  const auto wanted = [&](const char* name) {
    return !instruction_set || std::strcmp(instruction_set, name) == 0;
  };
#if defined(NORMLIB_AVX512)
  if (wanted("avx512") && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq")) {
    return &avx512::kernels;
  }
#endif
#if defined(NORMLIB_AVX2)
  if (wanted("avx2") && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
      __builtin_cpu_supports("f16c")) {
    return &avx2::kernels;
  }
#endif
  return wanted("baseline") ? &baseline::kernels : nullptr;
}

namespace {

// Bytes of samples that stay in cache between statistics and apply.
constexpr int64_t kGroupBytes = 1 << 22;

template <typename T>
T* advance(T* pointer, int64_t bytes) {
  return pointer ? reinterpret_cast<T*>(reinterpret_cast<uintptr_t>(pointer) + bytes) : nullptr;
}

}  // namespace

void forward(const Kernels& kernels, const Problem& p, ParallelFor pool) {
  const int64_t size = bytes_of(p.dtype);
  const int64_t wide = std::max<int64_t>(size, 4);
  const int64_t row_bytes = ((p.channels_last ? p.channels : p.positions) + 7) / 8;
  const int64_t rows = p.channels_last ? p.positions : p.channels;
  const int64_t sample = p.channels * p.positions * size;
  const int64_t group = std::max<int64_t>(1, kGroupBytes / std::max<int64_t>(1, sample));
  const bool read_twice = p.settings.normalizers & (kInstance | kLayer);
  const bool independent = p.fixed_mean || !(p.settings.normalizers & kBatch);
  if (!independent || !read_twice || group >= p.samples) {
    kernels.statistics(p, pool);
    return kernels.apply(p, pool);
  }
  for (int64_t n = 0; n < p.samples; n += group) {
    Problem part = p;
    part.samples = std::min(group, p.samples - n);
    part.x = advance(p.x, n * sample);
    part.residual = advance(p.residual, n * sample);
    part.y = advance(p.y, n * sample);
    part.mask = advance(p.mask, n * rows * row_bytes);
    part.offset = advance(p.offset, n * p.channels * wide);
    part.variance = advance(p.variance, n * p.channels * wide);
    part.layer = p.layer + 2 * n;
    part.continued = n > 0;
    kernels.statistics(part, pool);
    kernels.apply(part, pool);
  }
  p.channel[0] = static_cast<double>(p.samples * p.positions);
}

void merge(const double* gathered, int64_t processes, int64_t channels, double* batch) {
  const int64_t stride = 1 + 2 * channels;
  std::fill_n(batch, stride, 0.0);
  for (int64_t c = 0; c < channels; ++c) {
    Moments<double> all{0, 0, 0};
    for (int64_t k = 0; k < processes; ++k) {
      const double* one = gathered + k * stride;
      all = normlib::merge<double>(all, {one[0], one[1 + c], one[0] * one[1 + channels + c]});
    }
    batch[0] = all.count;
    batch[1 + c] = all.mean;
    batch[1 + channels + c] = all.count > 0 ? all.m2 / all.count : 0;
  }
}

void sparsestmax(const SparsestProblem& p) {
  for (int64_t row = 0; row < p.rows; ++row) sparsestmax_row(p, row);
}

}  // namespace normlib::cpu
