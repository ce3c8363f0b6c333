// new_affine_gradients(…), with what the primitive of tensorlite/ops/linear.py takes: for few rows, for
// which a call each would cost more than the arithmetic.
#pragma once

#include "host/module.h"

#define LINEAR_METHODS                                                                                \
    TL_METHOD("new_affine_gradients", py_new_affine_gradients,   \
     "new_affine_gradients(dy, x, weight, out, dweight, dbias)")

namespace tl {

// host/matmul.cpp: sums = the sum of the rows of x
template <typename T>
void sum_rows(const T* x, T* sums, Index rows, Index columns);

template <typename T>
T* data_of(PyObject* array) {
    return (T*)PyArray_DATA((PyArrayObject*)array);
}

// The gradient of an affine map's result from that of its ReLU, `out`, if there is one.
inline PyObject* new_before_relu(PyArrayObject* dy, PyObject* out) {
    if (out == Py_None) return Py_NewRef((PyObject*)dy);
    Ref g((PyObject*)new_array(dy, PyArray_NDIM(dy), PyArray_DIMS(dy)));
    if (!g) return nullptr;
    const HostKernel* kernel = host_kernel("relu_backward");
    const Ref n(PyLong_FromSsize_t(PyArray_SIZE(dy)));
    PyObject* const passed[] = {(PyObject*)dy, out, g, n};
    const Ref done(kernel && n ? run_kernel(*kernel, passed, 4) : nullptr);
    return done ? g.release() : nullptr;
}

// The gradients of x, if there is a weight, of the weight, and of the bias.
template <typename T>
PyObject* new_affine_gradients(PyObject* const* args) {
    const Ref dy(new_before_relu((PyArrayObject*)args[0], args[3]));
    const Ref turned = dy ? transposed(dy) : Ref();
    if (!turned) return nullptr;
    const Ref dw(new_product(turned, args[1], Py_None, args[4]));
    if (!dw || dw == Py_NotImplemented) return Py_XNewRef(dw);

    auto* g = (PyArrayObject*)(PyObject*)dy;
    const Ref db((PyObject*)result_array(args[5], 1, PyArray_DIMS(g) + 1, g, g));
    if (!db) return nullptr;
    const Index rows = PyArray_DIM(g, 0), columns = PyArray_DIM(g, 1);
    sum_rows(data_of<T>(dy), data_of<T>(db), rows, columns);
    if (recording())
        open_log()->note("sum_rows", {operand(g, false), operand((PyArrayObject*)(PyObject*)db, true)},
                         {rows, columns}, [rows, columns](void* const* p) {
                             sum_rows((const T*)p[0], (T*)p[1], rows, columns);
                         });
    if (args[2] == Py_None) return PyTuple_Pack(2, (PyObject*)dw, (PyObject*)db);

    const Ref dx(new_product(dy, args[2], Py_None, Py_None));
    if (!dx || dx == Py_NotImplemented) return Py_XNewRef(dx);
    return PyTuple_Pack(3, (PyObject*)dx, (PyObject*)dw, (PyObject*)db);
}

inline PyObject* py_new_affine_gradients(PyObject*, PyObject* const* args, Py_ssize_t given) {
    constexpr Index kFewRows = 64;
    if (given != 6)
        return wrong_count("new_affine_gradients(dy, x, weight, out, dweight, dbias)", given);
    auto* dy = (PyArrayObject*)args[0];
    const auto is_for = [dy](PyObject* object) {
        auto* array = (PyArrayObject*)object;
        return PyArray_CheckExact(object) && PyArray_NDIM(array) == 2 && PyArray_ISCARRAY_RO(array) &&
               PyArray_DIM(array, 0) <= kFewRows && PyArray_SAMESHAPE(array, dy) &&
               type_of(array) == type_of(dy);
    };
    if (!is_for(args[0]) || (args[3] != Py_None && !is_for(args[3]))) Py_RETURN_NOTIMPLEMENTED;
    if (type_of(dy) == F32) return new_affine_gradients<float>(args);
    if (type_of(dy) == F64) return new_affine_gradients<double>(args);
    Py_RETURN_NOTIMPLEMENTED;
}

}  // namespace tl
