// The operators on CPU tensors.

#include "../binding.h"

#include <cstdlib>

#include "kernels.h"

namespace normlib {
namespace {

void parallel_for(int64_t begin, int64_t end, int64_t grain, cpu::Task task, void* context) {
  torch::stable::parallel_for(begin, end, grain,
                              [=](int64_t from, int64_t to) { task(from, to, context); });
}

const cpu::Kernels& kernels() {
  static const cpu::Kernels* chosen = [] {
    const cpu::Kernels* forced = cpu::kernels(std::getenv("NORMLIB_CPU_INSTRUCTIONS"));
    return forced ? forced : cpu::kernels();
  }();
  return *chosen;
}

struct Cpu {
  static void statistics(const Problem& p, const Tensor&) {
    kernels().statistics(p, parallel_for);
  }
  static void apply(const Problem& p, const Tensor&) { kernels().apply(p, parallel_for); }
  static void forward(const Problem& p, const Tensor&) {
    cpu::forward(kernels(), p, parallel_for);
  }
  static void backward_reduce(const Problem& p, const Tensor&) {
    kernels().backward_reduce(p, parallel_for);
  }
  static void backward_apply(const Problem& p, const Tensor&) {
    kernels().backward_apply(p, parallel_for);
  }
  static void merge(const double* gathered, int64_t processes, int64_t channels, double* batch,
                    const Tensor&) {
    cpu::merge(gathered, processes, channels, batch);
  }
  static void sparsestmax(const SparsestProblem& p, const Tensor&) { cpu::sparsestmax(p); }
};

}  // namespace
}  // namespace normlib

STABLE_TORCH_LIBRARY_IMPL(normlib, CPU, m) { normlib::Operators<normlib::Cpu>::register_all(m); }

// The instruction set in use, for normlib.backend().
extern "C" __attribute__((visibility("default"))) const char* normlib_instruction_set() {
  return normlib::kernels().instruction_set;
}
