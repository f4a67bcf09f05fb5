// The operators of PyTorch over the passes of a backend, through PyTorch's stable ABI.
//
// A backend is a type with the static functions statistics, apply, forward, backward_reduce,
// backward_apply, merge and sparsestmax of cpu/binding.cpp. The schemas are in normlib/ops/operators.py.

#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/Exception.h>

#include <initializer_list>
#include <optional>
#include <tuple>

#include "problem.h"
#include "sparsestmax.h"

namespace normlib {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using Optional = std::optional<Tensor>;

inline Tensor empty(std::initializer_list<int64_t> sizes, ScalarType dtype, const Tensor& like) {
  int64_t strides[3] = {1, 1, 1};
  for (int i = static_cast<int>(sizes.size()) - 2; i >= 0; --i) {
    strides[i] = strides[i + 1] * sizes.begin()[i + 1];
  }
  int32_t device_type, device_index;
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_type(like.get(), &device_type));
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_index(like.get(), &device_index));
  AtenTensorHandle handle;
  TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(
      static_cast<int64_t>(sizes.size()), sizes.begin(), strides,
      torch::stable::detail::to<int32_t>(torch::stable::detail::from(dtype)), device_type,
      device_index, &handle));
  return Tensor(handle);
}

inline void* pointer(const Tensor& t) { return t.numel() ? t.data_ptr() : nullptr; }
inline void* pointer(const Optional& t) { return t ? pointer(*t) : nullptr; }

// Whether the channels of a position lie together in memory, and nothing else is between.
inline bool is_channels_last(const Tensor& x) {
  if (x.dim() < 3 || x.is_contiguous() || x.stride(1) != 1) return false;
  int64_t stride = x.size(1);
  for (int64_t d = x.dim() - 1; d >= 0; --d) {
    if (d == 1) continue;
    if (x.size(d) != 1 && x.stride(d) != stride) return false;
    stride *= x.size(d);
  }
  return true;
}

// What all operators are given besides the tensors that they normalise.
struct Mixing {
  Tensor mean_ratios, var_ratios;
  Optional weight, bias, fixed_mean, fixed_var;
  Settings settings;
};

struct Saved {
  Tensor instance;  // (2, N, C): offsets and variances
  Tensor layer;     // (N, 2)
  Tensor channel;   // (1 + 2 C)
  Tensor batch;     // (1 + 2 C)
};

// A call: x in one of the two orders of memory, and the problem that the kernels see.
class Call {
 public:
  explicit Call(const Tensor& x) : x_(dense(x)) {
    const ScalarType dtype = x_.scalar_type();
    problem.dtype = dtype == ScalarType::Float      ? DataType::float32
                    : dtype == ScalarType::Double   ? DataType::float64
                    : dtype == ScalarType::Half     ? DataType::float16
                    : dtype == ScalarType::BFloat16 ? DataType::bfloat16
                                                    : unsupported();
    problem.samples = x_.size(0);
    problem.channels = x_.size(1);
    problem.positions = 1;
    for (int64_t d = 2; d < x_.dim(); ++d) problem.positions *= x_.size(d);
    problem.bytes = problem.samples * problem.channels * problem.positions * bytes_of(problem.dtype);
    problem.channels_last = is_channels_last(x_) || problem.positions == 1;
    problem.x = pointer(x_);
  }

  Problem problem{};

  const Tensor& x() const { return x_; }
  ScalarType accumulate() const {
    return problem.dtype == DataType::float64 ? ScalarType::Double : ScalarType::Float;
  }
  Tensor new_output() const { return torch::stable::empty_like(x_); }
  Tensor new_vectors(std::initializer_list<int64_t> sizes) const {
    return empty(sizes, accumulate(), x_);
  }
  Tensor new_doubles(std::initializer_list<int64_t> sizes) const {
    return empty(sizes, ScalarType::Double, x_);
  }
  Tensor new_mask(bool wanted) const {
    const int64_t rows = problem.channels_last ? problem.positions : problem.channels;
    const int64_t row = problem.channels_last ? problem.channels : problem.positions;
    return empty({wanted ? problem.samples * rows : 0, (row + 7) / 8}, ScalarType::Byte, x_);
  }

  // t, in the order of memory of x.
  Tensor like_x(const Tensor& t) const {
    for (int64_t d = 0; d < x_.dim(); ++d) {
      if (t.size(d) != 1 && t.stride(d) != x_.stride(d)) {
        Tensor copy = new_output();
        torch::stable::copy_(copy, t);
        return copy;
      }
    }
    return t;
  }

  void set(const Mixing& m) {
    problem.settings = m.settings;
    problem.mean_ratios = vector(m.mean_ratios);
    problem.var_ratios = vector(m.var_ratios);
    problem.weight = vector(m.weight);
    problem.bias = vector(m.bias);
    problem.fixed_mean = vector(m.fixed_mean);
    problem.fixed_var = vector(m.fixed_var);
  }

  void set(const Saved& s) {
    problem.offset = pointer(s.instance);
    const int64_t elements = problem.samples * problem.channels;
    problem.variance = problem.dtype == DataType::float64
                           ? static_cast<void*>(static_cast<double*>(problem.offset) + elements)
                           : static_cast<void*>(static_cast<float*>(problem.offset) + elements);
    problem.layer = static_cast<double*>(pointer(s.layer));
    problem.channel = static_cast<double*>(pointer(s.channel));
    problem.batch = static_cast<const double*>(pointer(s.batch));
  }

  void* vector(const Optional& t) const {
    if (!t) return nullptr;
    STD_TORCH_CHECK(t->scalar_type() == accumulate() && t->is_contiguous(),
                    "normlib: parameters must be contiguous and float32, or float64 for float64 "
                    "input");
    return pointer(*t);
  }

 private:
  static DataType unsupported() {
    STD_TORCH_CHECK(false, "normlib: input must be float32, float64, float16 or bfloat16");
  }
  static Tensor dense(const Tensor& x) {
    return x.is_contiguous() || is_channels_last(x) ? x : torch::stable::contiguous(x);
  }

  const Tensor x_;
};

template <typename Backend>
struct Operators {
  static std::tuple<Tensor, Tensor, Tensor> statistics(Tensor x, Optional fixed_mean,
                                                       Optional fixed_var, int64_t normalizers,
                                                       bool unbiased) {
    Call call(x);
    Problem& p = call.problem;
    p.settings = {static_cast<unsigned>(normalizers), unbiased, false, 0};
    p.fixed_mean = call.vector(fixed_mean);
    p.fixed_var = call.vector(fixed_var);
    const Saved saved = new_saved(call);
    call.set(saved);
    Backend::statistics(p, x);
    return {saved.instance, saved.layer, saved.channel};
  }

  static Tensor merge(Tensor gathered) {
    Tensor batch = empty({gathered.size(1)}, ScalarType::Double, gathered);
    Backend::merge(static_cast<const double*>(pointer(gathered)), gathered.size(0),
                   (gathered.size(1) - 1) / 2, static_cast<double*>(pointer(batch)), gathered);
    return batch;
  }

  static std::tuple<Tensor, Tensor> apply(Tensor x, Optional residual, Tensor instance,
                                          Tensor layer, Tensor channel, Tensor batch,
                                          Tensor mean_ratios, Tensor var_ratios, Optional weight,
                                          Optional bias, Optional fixed_mean, Optional fixed_var,
                                          int64_t normalizers, bool unbiased, double eps, bool relu,
                                          bool keep_mask) {
    Call call(x);
    call.set(Mixing{mean_ratios, var_ratios, weight, bias, fixed_mean, fixed_var,
                    {static_cast<unsigned>(normalizers), unbiased, relu, eps}});
    call.set(Saved{instance, layer, channel, batch});
    const Output out(call, residual, keep_mask);
    Backend::apply(call.problem, x);
    return {out.y, out.mask};
  }

  static std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> forward(
      Tensor x, Optional residual, Tensor mean_ratios, Tensor var_ratios, Optional weight,
      Optional bias, Optional fixed_mean, Optional fixed_var, Optional running_mean,
      Optional running_var, double momentum, int64_t normalizers, bool unbiased, double eps,
      bool relu, bool keep_mask) {
    Call call(x);
    call.set(Mixing{mean_ratios, var_ratios, weight, bias, fixed_mean, fixed_var,
                    {static_cast<unsigned>(normalizers), unbiased, relu, eps}});
    const Saved saved = new_saved(call);
    call.set(saved);
    call.problem.running_mean = call.vector(running_mean);
    call.problem.running_var = call.vector(running_var);
    call.problem.momentum = momentum;
    const Output out(call, residual, keep_mask);
    Backend::forward(call.problem, x);
    return {out.y, out.mask, saved.instance, saved.layer, saved.channel};
  }

  static std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> backward_reduce(
      Tensor grad, Tensor x, Optional mask, Tensor instance, Tensor layer, Tensor channel,
      Tensor batch, Tensor mean_ratios, Tensor var_ratios, Optional weight, Optional bias,
      Optional fixed_mean, Optional fixed_var, int64_t normalizers, bool unbiased, double eps,
      bool relu) {
    Call call(x);
    call.set(Mixing{mean_ratios, var_ratios, weight, bias, fixed_mean, fixed_var,
                    {static_cast<unsigned>(normalizers), unbiased, relu, eps}});
    call.set(Saved{instance, layer, channel, batch});
    const Upstream upstream(call, grad, mask);
    const Sums sums(call);
    Backend::backward_reduce(call.problem, x);
    return {sums.sums, sums.layer, sums.channel, sums.weight, sums.bias};
  }

  static std::tuple<Tensor, Tensor, Tensor, Tensor> backward_apply(
      Tensor grad, Tensor x, Optional mask, Tensor instance, Tensor layer, Tensor channel,
      Tensor batch, Tensor mean_ratios, Tensor var_ratios, Optional weight, Optional bias,
      Optional fixed_mean, Optional fixed_var, int64_t normalizers, bool unbiased, double eps,
      bool relu, Tensor sums, Tensor layer_grad, Tensor channel_grad, bool needs_x,
      bool needs_residual) {
    Call call(x);
    call.set(Mixing{mean_ratios, var_ratios, weight, bias, fixed_mean, fixed_var,
                    {static_cast<unsigned>(normalizers), unbiased, relu, eps}});
    call.set(Saved{instance, layer, channel, batch});
    const Upstream upstream(call, grad, mask);
    call.problem.sums = pointer(sums);
    call.problem.layer_grad = static_cast<double*>(pointer(layer_grad));
    call.problem.channel_grad = static_cast<double*>(pointer(channel_grad));
    const Gradients out(call, needs_x, needs_residual);
    Backend::backward_apply(call.problem, x);
    return {out.x, out.residual, out.mean_ratios, out.var_ratios};
  }

  static std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> backward(
      Tensor grad, Tensor x, Optional mask, Tensor instance, Tensor layer, Tensor channel,
      Tensor mean_ratios, Tensor var_ratios, Optional weight, Optional bias, Optional fixed_mean,
      Optional fixed_var, int64_t normalizers, bool unbiased, double eps, bool relu, bool needs_x,
      bool needs_residual) {
    Call call(x);
    call.set(Mixing{mean_ratios, var_ratios, weight, bias, fixed_mean, fixed_var,
                    {static_cast<unsigned>(normalizers), unbiased, relu, eps}});
    call.set(Saved{instance, layer, channel, channel});
    const Upstream upstream(call, grad, mask);
    const Sums sums(call);
    const Gradients out(call, needs_x, needs_residual);
    Backend::backward_reduce(call.problem, x);
    Backend::backward_apply(call.problem, x);
    return {out.x, out.residual, out.mean_ratios, out.var_ratios, sums.weight, sums.bias};
  }

  static std::tuple<Tensor, Tensor> sparsestmax(Tensor logits, Tensor radius) {
    const ScalarType dtype = logits.scalar_type(), radius_dtype = radius.scalar_type();
    const int64_t count = logits.dim() == 2 ? logits.size(1) : 0;
    STD_TORCH_CHECK(is_float(dtype) && is_float(radius_dtype) && logits.is_contiguous() &&
                        count >= 1 && count <= kMostRatios && radius.numel() == 1,
                    "normlib: sparsestmax: logits must be contiguous, of shape (rows, 1 to ",
                    kMostRatios, "), the radius one number, and both float32 or float64");
    const int64_t rows = logits.size(0);
    const Tensor ratios = empty({rows, count}, dtype, logits);
    const Tensor jacobian = empty({rows, count, count}, dtype, logits);
    Backend::sparsestmax({dtype == ScalarType::Double, radius_dtype == ScalarType::Double, rows,
                          static_cast<int>(count), pointer(logits), pointer(radius),
                          pointer(ratios), pointer(jacobian)},
                         logits);
    return {ratios, jacobian};
  }

  static void register_all(torch::stable::detail::StableLibrary& m) {
    m.impl("statistics", TORCH_BOX(&statistics));
    m.impl("merge", TORCH_BOX(&merge));
    m.impl("apply", TORCH_BOX(&apply));
    m.impl("backward_reduce", TORCH_BOX(&backward_reduce));
    m.impl("backward_apply", TORCH_BOX(&backward_apply));
    m.impl("switch_norm", TORCH_BOX(&forward));
    m.impl("switch_norm_backward", TORCH_BOX(&backward));
    m.impl("sparsestmax", TORCH_BOX(&sparsestmax));
  }

 private:
  static bool is_float(ScalarType dtype) {
    return dtype == ScalarType::Float || dtype == ScalarType::Double;
  }

  static Saved new_saved(const Call& call) {
    const int64_t samples = call.problem.samples, channels = call.problem.channels;
    const Tensor channel = call.new_doubles({1 + 2 * channels});
    return {call.new_vectors({2, samples, channels}), call.new_doubles({samples, 2}), channel,
            channel};
  }

  // Each of these allocates, or brings into the order of x, and sets the pointers of the problem.
  struct Output {
    Tensor residual, y, mask;
    Output(Call& call, const Optional& added, bool keep_mask)
        : residual(added ? call.like_x(*added) : call.x()),
          y(call.new_output()),
          mask(call.new_mask(keep_mask)) {
      if (added) call.problem.residual = pointer(residual);
      call.problem.y = pointer(y);
      call.problem.mask = static_cast<uint8_t*>(pointer(mask));
    }
  };

  struct Upstream {
    Tensor grad;
    Upstream(Call& call, const Tensor& upstream, const Optional& mask)
        : grad(call.like_x(upstream)) {
      call.problem.grad = pointer(grad);
      call.problem.mask = static_cast<uint8_t*>(pointer(mask));
    }
  };

  struct Sums {
    Tensor sums, layer, channel, weight, bias;
    explicit Sums(Call& call)
        : sums(call.new_vectors({call.problem.samples, call.problem.channels, 2})),
          layer(call.new_doubles({call.problem.samples, 7})),
          channel(call.new_doubles({2, call.problem.channels})),
          weight(call.new_vectors({call.problem.channels})),
          bias(call.new_vectors({call.problem.channels})) {
      call.problem.sums = pointer(sums);
      call.problem.layer_grad = static_cast<double*>(pointer(layer));
      call.problem.channel_grad = static_cast<double*>(pointer(channel));
      call.problem.dweight = pointer(weight);
      call.problem.dbias = pointer(bias);
    }
  };

  struct Gradients {
    Tensor x, residual, mean_ratios, var_ratios;
    Gradients(Call& call, bool needs_x, bool needs_residual)
        : x(needs_x ? call.new_output() : call.new_vectors({0})),
          residual(needs_residual ? call.new_output() : call.new_vectors({0})),
          mean_ratios(call.new_vectors({count(call.problem.settings.normalizers)})),
          var_ratios(call.new_vectors({count(call.problem.settings.normalizers)})) {
      call.problem.dx = pointer(x);
      call.problem.dresidual = pointer(residual);
      call.problem.dmean_ratios = pointer(mean_ratios);
      call.problem.dvar_ratios = pointer(var_ratios);
    }
    static int64_t count(unsigned normalizers) {
      return (normalizers & 1u) + (normalizers >> 1 & 1u) + (normalizers >> 2 & 1u);
    }
  };
};

}  // namespace normlib
