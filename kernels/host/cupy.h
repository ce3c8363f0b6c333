// How CuPy's arrays lie in memory, to read and to make them without calls. This is what Cython makes
// of CuPy's declarations, and no interface: `Cuda::recognises` compares it with what CuPy itself says
// of some arrays, and where it is different CuPy is asked for everything.
#pragma once

#include <vector>

#include "host/numpy.h"

namespace tl {

struct CupyPointer {
    PyObject_HEAD
    const void* methods;
    intptr_t address;
    int device;
    PyObject* memory;
};

struct CupyArray {
    PyObject_HEAD
    const void* methods;
    PyObject* weak_references;
    Py_ssize_t size;
    std::vector<Py_ssize_t> shape, strides;  // the latter in bytes
    int c_contiguous, f_contiguous, index_32_bits;
    PyObject *dtype, *data, *base;

    // Makes a new array one of these dense elements; the references are taken over.
    void fill(const Py_ssize_t* lengths, int count, Py_ssize_t elements, Py_ssize_t item, PyObject* of_dtype,
              PyObject* from) {
        int long_axes = 0;
        Py_ssize_t step = item;
        shape.assign(lengths, lengths + count);
        strides.resize(count);
        for (int axis = count - 1; axis >= 0; --axis) {
            strides[axis] = step;
            step *= lengths[axis];
            long_axes += lengths[axis] > 1;
        }
        size = elements;
        c_contiguous = true, f_contiguous = long_axes < 2;
        index_32_bits = elements * item <= Py_ssize_t(1) << 31;
        Py_XDECREF(std::exchange(dtype, of_dtype));
        Py_XDECREF(std::exchange(data, from));
    }
};

}  // namespace tl
