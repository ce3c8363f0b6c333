// Numbers of elements, as a declaration says them: pairs of an operation and a number, for a stack,
// ended by -1 (`steps` of tensorlite/backend/kernels/entry.py).
#pragma once

#include "types.h"

namespace tl {

// A number of elements: not sound where it, or one that it is computed from, was negative or too large.
class Count {
    Index value_ = 0;
    bool sound_ = true;

  public:
    Count() = default;
    Count(Index value, bool sound) : value_(value), sound_(sound) {}
    Index value() const { return value_; }
    bool is_sound() const { return sound_; }
};

enum CountStep { kCountEnd = -1, kCountNumber, kCountScalar, kCountAdd, kCountSubtract, kCountMultiply, kCountShift };
constexpr int kMostCountSteps = 16;

// Computes one, and moves behind its end.
inline Count read_count(const int*& steps, const Index* scalars) {
    Index stack[kMostCountSteps + 1], *top = stack, value = 0;
    bool sound = true;
    for (;; steps += 2, sound &= value >= 0) {  // `value` is what is on top
        switch (*steps) {
            case kCountNumber: *top++ = value, value = steps[1]; break;
            case kCountScalar: *top++ = value, value = scalars[steps[1]]; break;
            case kCountMultiply: sound &= !__builtin_mul_overflow(*--top, value, &value); break;
            case kCountAdd: sound &= !__builtin_add_overflow(*--top, value, &value); break;
            case kCountSubtract: sound &= !__builtin_sub_overflow(*--top, value, &value); break;
            case kCountShift: value = *--top >> (value & 63); break;
            default: ++steps; return {value, sound};
        }
    }
}

}  // namespace tl
