// Numbers of elements, as a declaration says them: pairs of an operation and a number, for a stack,
// ended by -1 (`steps` of tensorlite/backend/kernels/entry.py).
#pragma once

#include "types.h"

namespace tl {

// A number of elements, and what it is computed from: not sound where one was negative or is too large.
class Count {
    Index value_ = 0;
    bool sound_ = true;
    Count(Index value, bool sound) : value_(value), sound_(sound && value >= 0) {}

  public:
    Count() = default;
    Count(Index value) : Count(value, true) {}
    Index value() const { return value_; }
    bool is_sound() const { return sound_; }
    friend Count operator*(Count a, Count b) {
        const bool fits = !__builtin_mul_overflow(a.value_, b.value_, &a.value_);
        return {a.value_, a.sound_ && b.sound_ && fits};
    }
    friend Count operator+(Count a, Count b) {
        const bool fits = !__builtin_add_overflow(a.value_, b.value_, &a.value_);
        return {a.value_, a.sound_ && b.sound_ && fits};
    }
    friend Count operator-(Count a, Count b) {
        return {a.value_ - b.value_, a.sound_ && b.sound_};
    }
    friend Count operator>>(Count a, Count b) { return {a.value_ >> (b.value_ & 63), a.sound_ && b.sound_}; }
};

enum CountStep { kCountEnd = -1, kCountNumber, kCountScalar, kCountAdd, kCountSubtract, kCountMultiply, kCountShift };
constexpr int kMostCountSteps = 16;

// Computes one, and moves behind its end.
inline Count read_count(const int*& steps, const Index* scalars) {
    Count stack[kMostCountSteps + 1], *top = stack;
    for (; *steps != kCountEnd; steps += 2) {
        if (*steps == kCountNumber) *++top = Index(steps[1]);
        if (*steps == kCountScalar) *++top = scalars[steps[1]];
        if (*steps < kCountAdd) continue;
        const Count right = *top--;
        *top = *steps == kCountAdd        ? *top + right
               : *steps == kCountSubtract ? *top - right
               : *steps == kCountMultiply ? *top * right
                                          : *top >> right;
    }
    ++steps;
    return *top;
}

}  // namespace tl
