// new_cross_entropy(…), with what the primitive of tensorlite/ops/cross_entropy.py takes: its kernels
// one after another. For a small model the calls from Python, one each, took longer than they do.
#pragma once

#include "host/module.h"

#define CROSS_ENTROPY_METHODS                                                                       \
    TL_METHOD("new_cross_entropy", py_new_cross_entropy,         \
     "new_cross_entropy(x, labels, weight, ignore_index, label_smoothing, mean, with_gradient)")

namespace tl {

// The kernels of cross_entropy.cu and linear.cu for one type.
class CrossEntropyKernels {
    Body weight_ = nullptr, loss_ = nullptr, sum_ = nullptr;

  public:
    // False where an error is pending.
    bool find(Type type) {
        if (sum_) return true;
        weight_ = host_body("label_weight", type);
        loss_ = weight_ ? host_body("cross_entropy", type) : nullptr;
        sum_ = loss_ ? host_body("row_sum", type) : nullptr;
        return sum_ != nullptr;
    }

    // Of x, labels, the weights of classes, the loss of each row, its mean, and the gradient.
    void run(void* const* p, Index rows, Index classes, Index ignore_index, double smoothing) const {
        double room = 1;  // the sum of weights, of either type
        void *each_row = p[3], *mean = p[4], *total = mean ? &room : nullptr;
        Number numbers[4];
        if (mean) {
            void* const at[] = {p[1], p[2], total};
            numbers[0].integer = rows, numbers[1].integer = classes, numbers[2].integer = ignore_index;
            weight_(at, numbers);
        }
        void* const at[] = {p[0], p[1], p[2], total, each_row, p[5]};
        numbers[0].integer = rows, numbers[1].integer = classes, numbers[2].integer = ignore_index;
        numbers[3].real = smoothing;
        loss_(at, numbers);
        if (!mean) return;
        void* const summed[] = {each_row, mean};
        numbers[0].integer = 1, numbers[1].integer = rows, numbers[2].real = 1;
        sum_(summed, numbers);
    }
};

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
    const Type type = type_of(x);
    static CrossEntropyKernels of_type[2];
    CrossEntropyKernels& kernels = of_type[type == F64];
    if (!kernels.find(type)) return nullptr;
    {
        const WithoutLock unlocked(PyArray_SIZE(x) > 65536);
        kernels.run(arrays, rows, classes, ignore_index, smoothing);
    }
    if (recording()) {
        const Index each = item_size(type);
        const char letter = letter_of(type);
        open_log()->note("cross_entropy",
                         {{arrays[0], 0, rows * classes * each, false, letter},
                          {arrays[1], 0, rows * Index(sizeof(Index)), false},
                          {arrays[2], 0, classes * each, false, letter},
                          {arrays[3], 0, rows * each, true, letter},
                          {arrays[4], 0, each, true, letter},
                          {arrays[5], 0, rows * classes * each, true, letter}},
                         {rows, classes, ignore_index, smoothing}, [=](void* const* p) {
                             kernels.run(p, rows, classes, ignore_index, smoothing);
                         });
    }
    return with_gradient ? PyTuple_Pack(2, (PyObject*)loss, (PyObject*)dx) : loss.release();
}

}  // namespace tl
