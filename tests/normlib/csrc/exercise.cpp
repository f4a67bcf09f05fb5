// Runs every CPU kernel on buffers of exactly the size it may touch, for the sanitizers to watch.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "../../../normlib/csrc/cpu/kernels.h"

using namespace normlib;

namespace {

void three_threads(int64_t begin, int64_t end, int64_t, cpu::Task task, void* context) {
  std::vector<std::thread> threads;
  for (int64_t k = 0; k < 3; ++k) {
    const int64_t from = begin + (end - begin) * k / 3, to = begin + (end - begin) * (k + 1) / 3;
    if (from < to) threads.emplace_back([=] { task(from, to, context); });
  }
  for (std::thread& thread : threads) thread.join();
}

// Memory without slack, `misalignment` bytes past what malloc aligns to.
class Buffer {
 public:
  Buffer(int64_t bytes, int misalignment)
      : memory_(static_cast<char*>(std::malloc(bytes + misalignment))), shift_(misalignment) {
    std::memset(memory_, 0x3c, bytes + misalignment);  // finite in every data type
  }
  ~Buffer() { std::free(memory_); }
  Buffer(const Buffer&) = delete;
  void* get() const { return memory_ + shift_; }

 private:
  char* memory_;
  int shift_;
};

struct Shape {
  int64_t samples, channels, positions;
};

void exercise(const cpu::Kernels& kernels, DataType dtype, Shape shape, bool channels_last,
              bool relu, bool residual, bool fixed) {
  const int64_t size = bytes_of(dtype);
  const int64_t wide = dtype == DataType::float64 ? 8 : 4;
  const int64_t rows = shape.samples * shape.channels, elements = rows * shape.positions;
  const int64_t row = channels_last ? shape.channels : shape.positions;
  const int64_t mask_bytes = row ? elements / row * ((row + 7) / 8) : 0;
  std::vector<std::unique_ptr<Buffer>> buffers;
  const auto take = [&](int64_t bytes, int64_t misalignment) {
    buffers.push_back(std::make_unique<Buffer>(bytes, static_cast<int>(misalignment)));
    return buffers.back()->get();
  };
  const auto vector = [&](int64_t count) { return take(count * wide, 0); };
  const auto doubles = [&](int64_t count) { return static_cast<double*>(take(count * 8, 0)); };

  Problem p{};
  p.dtype = dtype;
  p.samples = shape.samples;
  p.channels = shape.channels;
  p.positions = shape.positions;
  p.channels_last = channels_last;
  p.settings = {7, false, relu, 1e-5};
  p.x = take(elements * size, size);
  p.y = take(elements * size, 0);
  if (residual) p.residual = take(elements * size, 3 * size);
  if (relu && residual) p.mask = static_cast<uint8_t*>(take(mask_bytes, 1));
  p.mean_ratios = vector(3);
  p.var_ratios = vector(3);
  p.weight = vector(shape.channels);
  p.bias = vector(shape.channels);
  if (fixed) {
    p.fixed_mean = vector(shape.channels);
    p.fixed_var = vector(shape.channels);
  } else {
    p.running_mean = vector(shape.channels);
    p.running_var = vector(shape.channels);
    p.momentum = 0.1;
  }
  p.offset = vector(rows);
  p.variance = vector(rows);
  p.layer = doubles(2 * shape.samples);
  p.channel = doubles(1 + 2 * shape.channels);
  p.batch = p.channel;
  p.bytes = elements * size;
  cpu::forward(kernels, p, three_threads);
  kernels.statistics(p, three_threads);
  for (const int64_t bytes : {int64_t{1} << 30, p.bytes}) {  // streamed, and stored as usual
    p.bytes = bytes;
    kernels.apply(p, three_threads);
  }

  p.grad = take(elements * size, size);
  p.sums = vector(2 * rows);
  p.layer_grad = doubles(7 * shape.samples);
  p.channel_grad = doubles(2 * shape.channels);
  p.dweight = vector(shape.channels);
  p.dbias = vector(shape.channels);
  p.dmean_ratios = vector(3);
  p.dvar_ratios = vector(3);
  p.dx = take(elements * size, 0);
  if (residual) p.dresidual = take(elements * size, size);
  kernels.backward_reduce(p, three_threads);
  for (const int64_t bytes : {int64_t{1} << 30, p.bytes}) {
    p.bytes = bytes;
    kernels.backward_apply(p, three_threads);
  }

  double* batch = doubles(1 + 2 * shape.channels);
  cpu::merge(p.channel, 1, shape.channels, batch);
}

void exercise_sparsestmax() {
  for (int count = 1; count <= kMostRatios; ++count) {
    const int64_t rows = 3, size = 8;
    Buffer logits(rows * count * size, 0), radius(size, 0), ratios(rows * count * size, 0),
        jacobian(rows * count * count * size, 0);
    cpu::sparsestmax({true, true, rows, count, logits.get(), radius.get(), ratios.get(),
                      jacobian.get()});
  }
}

}  // namespace

int main(int, char** arguments) {
  const cpu::Kernels* kernels = cpu::kernels(arguments[1]);
  if (!kernels) {
    std::puts("absent");
    return 0;
  }
  const Shape shapes[] = {{2, 3, 1},  {3, 5, 7},   {1, 33, 49}, {2, 16, 64}, {2, 9, 4099},
                          {0, 4, 9},  {2, 4, 0},   {4, 1, 30},  {1, 2500, 3}, {3, 300, 600}};
  int calls = 0;
  for (DataType dtype : {DataType::float32, DataType::float64, DataType::float16,
                         DataType::bfloat16}) {
    for (const Shape& shape : shapes) {
      for (int bits = 0; bits < 16; ++bits, ++calls) {
        const bool channels_last = (bits & 1) != 0 || shape.positions == 1;
        exercise(*kernels, dtype, shape, channels_last, bits & 2, bits & 4, bits & 8);
      }
    }
  }
  exercise_sparsestmax();
  std::printf("%s: %d problems\n", kernels->instruction_set, calls);
}
