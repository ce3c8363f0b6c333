// new_cross_entropy(…), with what the primitive of tensorlite/ops/cross_entropy.py takes: its kernels
// one after another. For a small model the calls from Python, one each, took longer than they do.
#pragma once

#include "host/module.h"

#define CROSS_ENTROPY_METHODS                                                                       \
    TL_METHOD("new_cross_entropy", py_new_cross_entropy,         \
     "new_cross_entropy(x, labels, weight, ignore_index, label_smoothing, mean, with_gradient)")

namespace tl {

// cross_entropy.cu, linear.cu
template <typename T>
void label_weight(const Index*, const T*, Acc<T>*, Index, Index, Index);
template <typename T>
void cross_entropy(const T*, const Index*, const T*, const Acc<T>*, Acc<T>*, T*, Index, Index, Index,
                   double);
template <typename T>
void row_sum(const T*, T*, Index, Index, double);

// Of x, labels, the weights of classes, the loss of each row, its mean, and the gradient.
template <typename T>
void cross_entropy_in(void* const* p, Index rows, Index classes, Index ignore_index, double smoothing) {
    const auto* label = (const Index*)p[1];
    const auto* of_class = (const T*)p[2];
    T *each_row = (T*)p[3], *mean = (T*)p[4], count = 1;
    if (mean) label_weight(label, of_class, &count, rows, classes, ignore_index);
    cross_entropy((const T*)p[0], label, of_class, mean ? &count : nullptr, each_row, (T*)p[5], rows,
                  classes, ignore_index, smoothing);
    if (mean) row_sum(each_row, mean, 1, rows, 1.0);
}

inline PyObject* py_new_cross_entropy(PyObject*, PyObject* const* args, Py_ssize_t given) {
    if (given != 7)
        return wrong_count("new_cross_entropy(x, labels, weight, ignore_index, label_smoothing, mean, "
                           "with_gradient)",
                           given);
    auto *x = (PyArrayObject*)args[0], *labels = (PyArrayObject*)args[1];
    auto* weight = (PyArrayObject*)args[2];
    if (!PyArray_CheckExact(args[0]) || !PyArray_CheckExact(args[1]) || PyArray_NDIM(x) != 2 ||
        PyArray_NDIM(labels) != 1 || PyArray_SIZE(x) == 0 || !PyArray_ISCARRAY_RO(x) ||
        !PyArray_ISCARRAY_RO(labels) || PyArray_DIM(x, 0) != PyArray_DIM(labels, 0) ||
        type_of(labels) != I64 || (type_of(x) != F32 && type_of(x) != F64) ||
        !PyBool_Check(args[5]) || !PyBool_Check(args[6]))
        Py_RETURN_NOTIMPLEMENTED;
    if (args[2] != Py_None &&
        (!PyArray_CheckExact(args[2]) || type_of(weight) != type_of(x) || PyArray_NDIM(weight) != 1 ||
         !PyArray_ISCARRAY_RO(weight) || PyArray_SIZE(weight) != PyArray_DIM(x, 1)))
        Py_RETURN_NOTIMPLEMENTED;
    const Index ignore_index = PyLong_AsLongLong(args[3]);
    const double smoothing = PyFloat_AsDouble(args[4]);
    const bool mean = args[5] == Py_True, with_gradient = args[6] == Py_True;
    if (PyErr_Occurred()) return nullptr;

    const Ref each_row((PyObject*)new_array(x, 1, PyArray_DIMS(x)));
    Ref loss(mean ? (PyObject*)new_array(x, 0, nullptr) : Py_XNewRef(each_row));
    Ref dx(with_gradient ? (PyObject*)new_array(x, 2, PyArray_DIMS(x)) : Py_NewRef(Py_None));
    if (!each_row || !loss || !dx) return nullptr;
    const auto data = [](PyObject* array, bool there) {
        return there ? PyArray_DATA((PyArrayObject*)array) : nullptr;
    };
    const Index rows = PyArray_DIM(x, 0), classes = PyArray_DIM(x, 1);
    void* const arrays[] = {data(args[0], true),  data(args[1], true), data(args[2], args[2] != Py_None),
                            data(each_row, true), data(loss, mean),    data(dx, with_gradient)};
    const auto run = [&](auto type) {
        using T = decltype(type);
        cross_entropy_in<T>(arrays, rows, classes, ignore_index, smoothing);
        if (recording())
            open_log()->note("cross_entropy",
                             {operand((const T*)arrays[0], rows * classes),
                              operand((const Index*)arrays[1], rows), operand((const T*)arrays[2], classes),
                              operand((T*)arrays[3], rows), operand((T*)arrays[4], 1),
                              operand((T*)arrays[5], rows * classes)},
                             {rows, classes, ignore_index, smoothing}, [=](void* const* p) {
                                 cross_entropy_in<T>(p, rows, classes, ignore_index, smoothing);
                             });
    };
    {
        const WithoutLock unlocked(PyArray_SIZE(x) > 65536);
        type_of(x) == F32 ? run(float()) : run(double());
    }
    return with_gradient ? PyTuple_Pack(2, (PyObject*)loss, (PyObject*)dx) : loss.release();
}

}  // namespace tl
