#include "launch.h"
#include "output.h"

namespace normlib::cuda {
namespace {

template <typename T>
struct GlobalSource {
  const T* x;

  template <int width>
  __device__ __forceinline__ Vector<T, width> load(int k, const Batch<width>& batch) const {
    return cuda::load<width>(x + batch.at(k));
  }
};

template <typename T, int V, bool channels_last>
__global__ __launch_bounds__(kThreads) void apply_kernel(Problem p, Tiling t) {
  using A = Accumulation<T>;
  using ThreadShare = Share<T, V, channels_last>;
  // From the end of x, which the statistics have read last.
  const unsigned block = gridDim.x - 1 - blockIdx.x;
  Affine<A> affine[ThreadShare::kChannels];
  coefficients(p, t, block, shared_memory<Affine<A>>(), affine,
               [&](int64_t n, int64_t c) { return output_affine(Mixture<A>(p, n, c)); });
  const ThreadShare share(p, t, Place(p, t, block));
  Output<T, ThreadShare, GlobalSource<T>> output(p, share, {static_cast<const T*>(p.x)}, affine);
  share.template sweep<kBatch>(output);
}

}  // namespace

const char* apply(const Problem& p, const Device& device, void* stream) {
  if (empty(p)) return nullptr;
  const Tiling t = elementwise_tiling(p, device);
  return with_variant(p, t, [&](auto variant) {
    using K = decltype(variant);
    using A = Accumulation<typename K::T>;
    return launch(apply_kernel<typename K::T, K::V, K::channels_last>,
                  {t.blocks, kThreads, coefficients_bytes<Affine<A>>(p, t)}, stream, p, t);
  });
}

}  // namespace normlib::cuda
