// The kernels of one instruction set: compiled once for each, with NORMLIB_ISA naming it.

#include "kernels.h"

#include "backward.h"
#include "forward.h"

NORMLIB_BEGIN

namespace {

#define NORMLIB_FOR_EVERY_DATA_TYPE(function)              \
  void dispatch_##function(const Problem& p, ParallelFor pool) { \
    switch (p.dtype) {                                     \
      case DataType::float32:                              \
        return function<float>(p, pool);                   \
      case DataType::float64:                              \
        return function<double>(p, pool);                  \
      case DataType::float16:                              \
        return function<Half>(p, pool);                    \
      case DataType::bfloat16:                             \
        return function<BFloat16>(p, pool);                \
    }                                                      \
  }

NORMLIB_FOR_EVERY_DATA_TYPE(statistics)
NORMLIB_FOR_EVERY_DATA_TYPE(apply)
NORMLIB_FOR_EVERY_DATA_TYPE(backward_reduce)
NORMLIB_FOR_EVERY_DATA_TYPE(backward_apply)

}  // namespace

#define NORMLIB_TEXT_OF(name) #name
#define NORMLIB_TEXT(name) NORMLIB_TEXT_OF(name)
extern const Kernels kernels;
const Kernels kernels = {NORMLIB_TEXT(NORMLIB_ISA), dispatch_statistics, dispatch_apply,
                         dispatch_backward_reduce, dispatch_backward_apply};

NORMLIB_END
