// The interface of the kernels for ctypes.

#include "../../../../normlib/csrc/cuda/kernels.h"
#include "emulation.h"

using normlib::Problem;
using normlib::SparsestProblem;
using normlib::cuda::Device;

extern "C" {

size_t problem_bytes() { return sizeof(Problem); }

void reverse(bool value) { emulation::reverse(value); }

size_t workspace_bytes(const Problem* problem, const Device* device) {
  return normlib::cuda::workspace_bytes(*problem, *device);
}

const char* statistics(const Problem* problem, const Device* device, void* workspace) {
  return normlib::cuda::statistics(*problem, *device, workspace, nullptr);
}

const char* apply(const Problem* problem, const Device* device, void*) {
  return normlib::cuda::apply(*problem, *device, nullptr);
}

bool fits_on_chip(const Problem* problem, const Device* device) {
  return normlib::cuda::fits_on_chip(*problem, *device);
}

const char* forward_on_chip(const Problem* problem, const Device* device, void* workspace) {
  return normlib::cuda::forward_on_chip(*problem, *device, workspace, nullptr);
}

const char* backward_reduce(const Problem* problem, const Device* device, void* workspace) {
  return normlib::cuda::backward_reduce(*problem, *device, workspace, nullptr);
}

const char* backward_apply(const Problem* problem, const Device* device, void*) {
  return normlib::cuda::backward_apply(*problem, *device, nullptr);
}

const char* merge(const double* gathered, int64_t processes, int64_t channels, double* batch) {
  return normlib::cuda::merge(gathered, processes, channels, batch, nullptr);
}

size_t sparsest_problem_bytes() { return sizeof(SparsestProblem); }

const char* sparsestmax(const SparsestProblem* problem) {
  return normlib::cuda::sparsestmax(*problem, nullptr);
}

}  // extern "C"
