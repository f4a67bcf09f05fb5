#include "launch.h"
#include "merge_gradients.h"
#include "moments.h"

namespace normlib::cuda {

const char* query(int ordinal, Device* device) {
  int shared_memory = 0, cooperative = 0;
  const auto attribute = [&](cudaDeviceAttr name, int* value) {
    return error_text(cudaDeviceGetAttribute(value, name, ordinal));
  };
  const char* error = attribute(cudaDevAttrMultiProcessorCount, &device->multiprocessors);
  if (error == nullptr) {
    error = attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, &shared_memory);
  }
  if (error == nullptr) error = attribute(cudaDevAttrCooperativeLaunch, &cooperative);
  device->shared_memory = static_cast<size_t>(shared_memory);
  device->cooperative = cooperative != 0;
  return error;
}

size_t workspace_bytes(const Problem& p, const Device& device) {
  if (empty(p)) return 0;
  static_assert(sizeof(PartGradients<double>) <= sizeof(PartMoments));
  return sizeof(PartMoments) * p.samples * p.channels * reduction_tiling(p, device).parts;
}

}  // namespace normlib::cuda
