// The passes on a CPU, for the best instruction set that the processor has.

#pragma once

#include "../problem.h"
#include "../sparsestmax.h"

namespace normlib::cpu {

// Runs task(begin, end, context) on disjoint ranges that make up [begin, end), each of at least
// `grain` elements, possibly in parallel.
using Task = void (*)(int64_t begin, int64_t end, void* context);
using ParallelFor = void (*)(int64_t begin, int64_t end, int64_t grain, Task task, void* context);

struct Kernels {
  const char* instruction_set;
  void (*statistics)(const Problem&, ParallelFor);
  void (*apply)(const Problem&, ParallelFor);
  void (*backward_reduce)(const Problem&, ParallelFor);
  void (*backward_apply)(const Problem&, ParallelFor);
};

// The kernels of an instruction set ("baseline", "avx2", "avx512"), or null where this build or this
// processor lacks it. With null, the best one.
const Kernels* kernels(const char* instruction_set = nullptr);

// Statistics and apply: where no batch statistics are taken, some samples at a time, so that the
// second sweep finds its input in cache.
void forward(const Kernels&, const Problem&, ParallelFor);

// Merges rows of Problem::channel of several processes.
void merge(const double* gathered, int64_t processes, int64_t channels, double* batch);

// SparsestMax of every row.
void sparsestmax(const SparsestProblem&);

}  // namespace normlib::cpu
