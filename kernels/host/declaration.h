// What the declaration of a kernel says, for those who make its call: the expressions in it.
#pragma once

#include "host/objects.h"
#include "types.h"

#include <vector>

namespace tl {

// A number of elements, from the scalars of a call: pairs of an operation and a number, for a stack.
class Expression {
    enum Operation { kNumber, kScalar, kAdd, kSubtract, kMultiply, kShift };
    std::vector<long long> steps_;
    static constexpr int kMost = 16;

  public:
    Expression() = default;
    // From a table of host/kernel.h, which -1 ends; null is none.
    explicit Expression(const int* steps) {
        for (; steps && *steps >= 0; ++steps) steps_.push_back(*steps);
    }

    // From Python's tuple of them.
    bool read(PyObject* steps) {
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(steps); ++i)
            steps_.push_back(PyLong_AsLongLong(PyTuple_GET_ITEM(steps, i)));
        return !PyErr_Occurred() && steps_.size() <= 2 * kMost;
    }

    Index of(const Index* scalars) const {
        Index stack[kMost + 1], *top = stack;
        for (size_t i = 0; i < steps_.size(); i += 2) {
            const Index value = steps_[i + 1];
            if (steps_[i] == kNumber) *++top = value;
            if (steps_[i] == kScalar) *++top = scalars[value];
            if (steps_[i] < kAdd) continue;
            const Index right = *top--;
            *top = steps_[i] == kAdd        ? *top + right
                   : steps_[i] == kSubtract ? *top - right
                   : steps_[i] == kMultiply ? *top * right
                                            : *top >> right;
        }
        return *top;
    }
};

}  // namespace tl
