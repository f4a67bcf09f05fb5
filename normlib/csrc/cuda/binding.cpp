// The operators on CUDA tensors.

#include "../binding.h"

#include <torch/csrc/stable/accelerator.h>

#include <array>
#include <mutex>

#include "kernels.h"

// Declared by PyTorch's header for its own builds only.
extern "C" AOTITorchError aoti_torch_get_current_cuda_stream(int32_t device_index, void** stream);

namespace normlib {
namespace {

void check(const char* error) {
  STD_TORCH_CHECK(error == nullptr, "normlib: CUDA: ", error ? error : "");
}

const cuda::Device& device_of(int index) {
  static std::array<cuda::Device, 128> devices;
  static std::array<std::once_flag, 128> known;
  std::call_once(known.at(index), [&] { check(cuda::query(index, &devices[index])); });
  return devices[index];
}

// Makes the device of a tensor current, with its current stream and memory for the kernels.
class Launch {
 public:
  explicit Launch(const Tensor& x)
      : guard_(x.get_device()), device_(device_of(x.get_device())), like_(x) {
    TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(x.get_device(), &stream_));
  }

  const cuda::Device& device() const { return device_; }
  void* stream() const { return stream_; }

  // Belongs to the stream: it may be given back as soon as the kernels are enqueued.
  Tensor workspace(const Problem& p) const {
    const auto bytes = static_cast<int64_t>(cuda::workspace_bytes(p, device_));
    return empty({bytes}, ScalarType::Byte, like_);
  }

 private:
  const torch::stable::accelerator::DeviceGuard guard_;
  const cuda::Device& device_;
  const Tensor& like_;
  void* stream_ = nullptr;
};

struct Cuda {
  static void statistics(const Problem& p, const Tensor& x) {
    const Launch launch(x);
    const Tensor workspace = launch.workspace(p);
    check(cuda::statistics(p, launch.device(), pointer(workspace), launch.stream()));
  }

  static void apply(const Problem& p, const Tensor& x) {
    const Launch launch(x);
    check(cuda::apply(p, launch.device(), launch.stream()));
  }

  static void forward(const Problem& p, const Tensor& x) {
    const Launch launch(x);
    const Tensor workspace = launch.workspace(p);
    if (cuda::fits_on_chip(p, launch.device())) {
      check(cuda::forward_on_chip(p, launch.device(), pointer(workspace), launch.stream()));
      return;
    }
    check(cuda::statistics(p, launch.device(), pointer(workspace), launch.stream()));
    check(cuda::apply(p, launch.device(), launch.stream()));
  }

  static void backward_reduce(const Problem& p, const Tensor& x) {
    const Launch launch(x);
    const Tensor workspace = launch.workspace(p);
    check(cuda::backward_reduce(p, launch.device(), pointer(workspace), launch.stream()));
  }

  static void backward_apply(const Problem& p, const Tensor& x) {
    const Launch launch(x);
    check(cuda::backward_apply(p, launch.device(), launch.stream()));
  }

  static void merge(const double* gathered, int64_t processes, int64_t channels, double* batch,
                    const Tensor& like) {
    const Launch launch(like);
    check(cuda::merge(gathered, processes, channels, batch, launch.stream()));
  }

  static void sparsestmax(const SparsestProblem& p, const Tensor& like) {
    const Launch launch(like);
    check(cuda::sparsestmax(p, launch.stream()));
  }
};

}  // namespace
}  // namespace normlib

STABLE_TORCH_LIBRARY_IMPL(normlib, CUDA, m) { normlib::Operators<normlib::Cuda>::register_all(m); }
