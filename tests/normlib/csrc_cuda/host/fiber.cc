#include "fiber.h"

#include <cstdint>

namespace emulation {
namespace {

constexpr size_t kStackBytes = 64 * 1024;

}  // namespace

Fiber::Fiber(std::function<void()> body) : body_(std::move(body)), stack_(new char[kStackBytes]) {
  getcontext(&start_);
  start_.uc_stack.ss_sp = stack_.get();
  start_.uc_stack.ss_size = kStackBytes;
  start_.uc_link = nullptr;
  const auto address = reinterpret_cast<uint64_t>(this);
  makecontext(&start_, reinterpret_cast<void (*)()>(enter), 2, static_cast<unsigned>(address >> 32),
              static_cast<unsigned>(address));
}

void Fiber::enter(unsigned high, unsigned low) {
  auto* fiber = reinterpret_cast<Fiber*>(uint64_t{high} << 32 | low);
  for (;;) fiber->body_();
}

void Fiber::resume() {
  if (_setjmp(outside_) != 0) return;
  if (started_) _longjmp(inside_, 1);
  started_ = true;
  swapcontext(&caller_, &start_);
}

void Fiber::yield() {
  if (_setjmp(inside_) == 0) _longjmp(outside_, 1);
}

}  // namespace emulation
