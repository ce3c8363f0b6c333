// The write log (tensorlite/writes.py) as a walk reads it: which addresses were written, and when.
#pragma once

#include <algorithm>

#include "host/cuda.h"
#include "host/memory.h"

namespace tl {

class Writes {
    struct Range {
        uintptr_t low, high;
        long long when;
    };
    List<Range> ranges_;  // sorted and disjoint
    Ref last_;

  public:
    // Whether nothing was written since this was read, when `last` was the last write.
    bool are_of(PyObject* last) const {
        return last_ && PyObject_RichCompareBool(last_, last, Py_EQ) == 1;
    }

    // `told`: the lowest addresses, those one past the highest, the times. False where an error is
    // pending.
    bool read(PyObject* told, PyObject* last) {
        PyObject *lows = item(told, 0), *highs = item(told, 1), *times = item(told, 2);
        ranges_.clear();
        for (Py_ssize_t i = 0; i < length(lows); ++i)
            ranges_.push_back({(uintptr_t)PyLong_AsUnsignedLongLong(item(lows, i)),
                               (uintptr_t)PyLong_AsUnsignedLongLong(item(highs, i)),
                               PyLong_AsLongLong(item(times, i))});
        last_ = Ref::to(last);
        return !PyErr_Occurred();
    }

    // Whether no array among `saved`, or in a tuple in there, was written after time `when`. If not
    // known, then no.
    bool spared(PyObject* saved, long long when) const {
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(saved); ++i) {
            PyObject* each = PyTuple_GET_ITEM(saved, i);
            if (PyTuple_CheckExact(each) ? !spared(each, when) : !is_spared(each, when)) return false;
        }
        return true;
    }

  private:
    bool is_spared(PyObject* array, long long when) const {
        uintptr_t low, high;
        if (cuda().is_array(array)) {
            if (!cuda().is_contiguous(array)) return false;
            const CudaArray found = cuda().read(array);
            low = found.address, high = low + found.size * item_size(found.type);
        } else if (PyArray_Check(array)) {
            auto* x = (PyArrayObject*)array;
            low = high = (uintptr_t)PyArray_DATA(x);
            if (!PyArray_SIZE(x)) return true;
            for (int d = 0; d < PyArray_NDIM(x); ++d) {
                const npy_intp reach = (PyArray_DIM(x, d) - 1) * PyArray_STRIDE(x, d);
                (reach < 0 ? low : high) += reach;
            }
            high += PyArray_ITEMSIZE(x);
        } else {
            return true;
        }
        auto range = std::upper_bound(ranges_.begin(), ranges_.end(), low,
                                      [](uintptr_t at, const Range& r) { return at < r.high; });
        for (; range != ranges_.end() && range->low < high; ++range)
            if (range->when > when) return false;
        return true;
    }
};

}  // namespace tl
