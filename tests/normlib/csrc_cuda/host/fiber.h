// A function on a stack of its own, which runs until it yields.

#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <functional>
#include <memory>

namespace emulation {

class Fiber {
 public:
  // `body` is called anew after each return of it: it never returns to the caller of resume.
  explicit Fiber(std::function<void()> body);
  Fiber(const Fiber&) = delete;

  void resume();

  // Called in the body: returns from resume.
  void yield();

 private:
  static void enter(unsigned high, unsigned low);

  std::function<void()> body_;
  std::unique_ptr<char[]> stack_;
  ucontext_t start_, caller_;
  // Jumps, which unlike swapcontext need no system call.
  jmp_buf inside_, outside_;
  bool started_ = false;
};

}  // namespace emulation
