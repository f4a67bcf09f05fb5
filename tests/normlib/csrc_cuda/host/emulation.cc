#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "cuda_runtime.h"
#include "emulation.h"
#include "fiber.h"

__thread Index threadIdx, blockIdx, blockDim, gridDim;

namespace normlib::cuda {

constexpr size_t kLargestSharedMemory = 228 * 1024;
constexpr size_t kGuard = 1024;
__thread __align__(16) unsigned char shared_bytes[kLargestSharedMemory + kGuard];

}  // namespace normlib::cuda

namespace emulation {
namespace {

constexpr unsigned kWarp = 32;
constexpr unsigned char kPoison = 0xff;  // NaN in every type

bool reversed = false;

// Threads that wait for each other.
struct Barrier {
  unsigned arrived = 0;
  unsigned passes = 0;
};

class GridBarrier {
 public:
  explicit GridBarrier(unsigned blocks) : blocks_(blocks) {}

  // Whether all blocks have come.
  bool wait() {
    std::unique_lock lock(mutex_);
    const unsigned pass = passes_;
    if (++arrived_ == blocks_) {
      arrived_ = 0;
      ++passes_;
      released_.notify_all();
    } else {
      released_.wait(lock, [&] { return passes_ != pass || left_; });
    }
    return passes_ != pass;
  }

  // A block ends: it comes no more.
  void leave() {
    std::unique_lock lock(mutex_);
    left_ = true;
    released_.notify_all();
  }

 private:
  unsigned blocks_, arrived_ = 0, passes_ = 0;
  bool left_ = false;
  std::mutex mutex_;
  std::condition_variable released_;
};

class Block {
 public:
  Block(unsigned threads, GridBarrier* grid)
      : grid_(grid), done_(threads), warps_((threads + kWarp - 1) / kWarp) {
    for (unsigned i = 0; i < threads; ++i) {
      fibers_.push_back(std::make_unique<Fiber>([this, i] {
        (*kernel_)();
        done_[i] = true;
        ++progress_;
        fibers_[i]->yield();
      }));
    }
  }

  const char* run(const std::function<void()>& kernel, unsigned index, size_t shared_memory) {
    using normlib::cuda::kGuard;
    using normlib::cuda::shared_bytes;
    kernel_ = &kernel;
    blockIdx = {index};
    std::memset(shared_bytes, kPoison, shared_memory + kGuard);
    std::fill(done_.begin(), done_.end(), false);
    const auto count = static_cast<unsigned>(fibers_.size());
    for (unsigned left = count; left > 0;) {
      const unsigned before = progress_;
      left = 0;
      for (unsigned i = 0; i < count; ++i) {
        current_ = reversed ? count - 1 - i : i;
        if (done_[current_]) continue;
        threadIdx = {current_};
        fibers_[current_]->resume();
        if (!done_[current_]) ++left;
      }
      if (left > 0 && progress_ == before) return "threads wait for others that never come";
    }
    for (size_t i = shared_memory; i < shared_memory + kGuard; ++i) {
      if (shared_bytes[i] != kPoison) return "a block wrote beyond its shared memory";
    }
    return nullptr;
  }

  void synchronize() { wait(barrier_, static_cast<unsigned>(fibers_.size())); }

  void synchronize_grid() {
    synchronize();
    if (current_ == 0 && !grid_->wait()) {
      for (;;) fibers_[0]->yield();
    }
    synchronize();
  }

  uint64_t exchange(unsigned members, uint64_t own, unsigned source) {
    Warp& warp = warps_[current_ / kWarp];
    Barrier& barrier = warp.barriers[members];
    const unsigned count = __builtin_popcount(members);
    warp.values[current_ % kWarp] = own;
    wait(barrier, count);
    const uint64_t value = warp.values[source];
    wait(barrier, count);  // the values have been read
    return value;
  }

 private:
  struct Warp {
    uint64_t values[kWarp];
    std::map<unsigned, Barrier> barriers;  // by members
  };

  void wait(Barrier& barrier, unsigned count) {
    ++progress_;
    if (++barrier.arrived == count) {
      barrier.arrived = 0;
      ++barrier.passes;
      return;
    }
    const unsigned own = current_;
    const unsigned pass = barrier.passes;
    while (barrier.passes == pass) fibers_[own]->yield();
  }

  GridBarrier* grid_;
  const std::function<void()>* kernel_ = nullptr;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<bool> done_;
  std::vector<Warp> warps_;
  Barrier barrier_;
  unsigned current_ = 0;
  unsigned progress_ = 0;
};

thread_local Block* block = nullptr;

const char* run_blocks(const Launch& launch, const std::function<void()>& kernel, GridBarrier* grid,
                       unsigned first, unsigned count) {
  gridDim = {launch.blocks};
  blockDim = {launch.threads};
  Block own(launch.threads, grid);
  block = &own;
  const char* error = nullptr;
  for (unsigned i = 0; i < count && error == nullptr; ++i) {
    error = own.run(kernel, first + (reversed ? count - 1 - i : i), launch.shared_memory);
  }
  block = nullptr;
  return error;
}

}  // namespace

void synchronize_block() { block->synchronize(); }
void synchronize_grid() { block->synchronize_grid(); }

uint64_t exchange(unsigned members, uint64_t own, unsigned source) {
  return block->exchange(members, own, source);
}

void reverse(bool value) { reversed = value; }

const char* run(const Launch& launch, const std::function<void()>& kernel) {
  if (launch.blocks == 0) return "a launch without blocks";
  if (launch.shared_memory > normlib::cuda::kLargestSharedMemory) return "too much shared memory";
  if (!launch.cooperative) return run_blocks(launch, kernel, nullptr, 0, launch.blocks);

  GridBarrier grid(launch.blocks);
  std::vector<const char*> errors(launch.blocks);
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < launch.blocks; ++i) {
    threads.emplace_back([&, i] {
      errors[i] = run_blocks(launch, kernel, &grid, i, 1);
      grid.leave();
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const char* error : errors) {
    if (error != nullptr) return error;
  }
  return nullptr;
}

}  // namespace emulation
