// matmul(a, b, out, bias, accumulate): out = a @ b (+ bias) or out += a @ b on strided NumPy
// arrays.
//
// float32 or float64; a (…, m, k), b (…, k, n), out (…, m, n) with dense rows; batch axes of a and
// b broadcast to those of out; bias (n,) or None. Transposed and sliced operands are read where
// they are.
#pragma once

#include <algorithm>

#include "host/gemm.h"
#include "host/record.h"

namespace tl {

constexpr int kMaxBatchAxes = 32;

// The strided operands of one call; `failed` once a Python error is pending.
class MatmulCall {
    PyArrayObject *a_, *b_, *out_;

  public:
    bool failed = false;
    BatchAxis axes[kMaxBatchAxes];
    int axis_count = 0;

    // Three NumPy arrays.
    explicit MatmulCall(PyObject* const* args)
        : a_((PyArrayObject*)args[0]), b_((PyArrayObject*)args[1]), out_((PyArrayObject*)args[2]) {
        check();
    }

    Type type() const { return type_of(a_); }

    // Notes a product of these arrays in the open log.
    template <typename T>
    void record(const Product<T>& product, PyArrayObject* bias) const {
        const std::vector<BatchAxis> batch(axes, axes + axis_count);
        const auto again = [product, batch](void* const* p) {
            Product<T> moved = product;
            moved.a.data = (const T*)p[0], moved.b.data = (const T*)p[1], moved.c = (T*)p[2];
            moved.col_bias = (const T*)p[3];
            multiply_batches(moved, batch.data(), int(batch.size()));
        };
        const Operand added = bias ? operand(bias, false) : Operand{nullptr, 0, 0, false};
        open_log()->note("matmul", {operand(a_, false), operand(b_, false), operand(out_, true), added},
                         {product.rows, product.cols, product.depth, product.accumulate, product.relu},
                         again);
    }

    template <typename T>
    Product<T> product(PyArrayObject* bias, bool accumulate) {
        Product<T> p;
        p.rows = size(out_, 2), p.cols = size(out_, 1), p.depth = size(a_, 1);
        p.a = {(const T*)PyArray_DATA(a_), stride(a_, 2), stride(a_, 1)};
        p.b = {(const T*)PyArray_DATA(b_), stride(b_, 2), stride(b_, 1)};
        p.c = (T*)PyArray_DATA(out_);
        p.c_stride = stride(out_, 2);
        p.accumulate = accumulate;
        if (!bias) return p;
        if (type_of(bias) != type() || !PyArray_ISCARRAY_RO(bias) || PyArray_SIZE(bias) != p.cols)
            fail(PyExc_ValueError, "bias must hold one element a column, of the operands' dtype");
        p.col_bias = (const T*)PyArray_DATA(bias);
        return p;
    }

  private:
    void check() {
        if (type() != F32 && type() != F64)
            return fail(PyExc_TypeError, "operands must be float32 or float64");
        for (PyArrayObject* x : {a_, b_, out_}) {
            if (type_of(x) != type() || !PyArray_ISBEHAVED_RO(x))
                return fail(PyExc_TypeError, "operands must have one dtype and be aligned");
            if (PyArray_NDIM(x) < 2) return fail(PyExc_ValueError, "operands must be matrices");
            for (int d = 0; d < PyArray_NDIM(x); ++d)
                if (PyArray_STRIDE(x, d) % PyArray_ITEMSIZE(x))
                    return fail(PyExc_ValueError, "strides must be whole elements");
        }
        if (!PyArray_ISWRITEABLE(out_)) return fail(PyExc_ValueError, "out must be writeable");
        const int ndim = PyArray_NDIM(out_);
        if (PyArray_SIZE(out_) > 0 && size(out_, 1) > 1 && stride(out_, 1) != 1)
            return fail(PyExc_ValueError, "out must have dense rows");
        if (size(a_, 1) != size(b_, 2) || size(a_, 2) != size(out_, 2) ||
            size(b_, 1) != size(out_, 1) || PyArray_NDIM(a_) > ndim || PyArray_NDIM(b_) > ndim ||
            ndim - 2 > kMaxBatchAxes)
            return fail(PyExc_ValueError, "shapes do not fit");
        for (int axis = 3; axis <= ndim; ++axis) {
            const Index count = size(out_, axis);
            for (PyArrayObject* operand : {a_, b_})
                if (size(operand, axis) != count && size(operand, axis) != 1)
                    return fail(PyExc_ValueError, "batch shapes do not fit");
            axes[axis_count++] = {count, stride(a_, axis), stride(b_, axis), stride(out_, axis)};
        }
    }

    void fail(PyObject* type, const char* what) {
        failed = true;
        PyObject* a = shape_of(a_);
        PyObject* b = shape_of(b_);
        PyObject* out = shape_of(out_);
        if (a && b && out)
            PyErr_Format(type, "matmul(a, b, out, bias, accumulate): %s; a is %R, b %R, out %R",
                         what, a, b, out);
        Py_XDECREF(a), Py_XDECREF(b), Py_XDECREF(out);
    }

    static PyObject* shape_of(PyArrayObject* x) {
        return PyObject_GetAttrString((PyObject*)x, "shape");
    }

    // Axes counted from the last, which is 1; missing ones have one element.
    static Index size(PyArrayObject* x, int axis) {
        const int d = PyArray_NDIM(x) - axis;
        return d < 0 ? 1 : PyArray_DIM(x, d);
    }
    static Index stride(PyArrayObject* x, int axis) {
        const int d = PyArray_NDIM(x) - axis;
        return d < 0 || PyArray_DIM(x, d) == 1 ? 0 : PyArray_STRIDE(x, d) / PyArray_ITEMSIZE(x);
    }
};

template <typename T>
PyObject* run_matmul(MatmulCall& call, PyArrayObject* bias, bool accumulate, bool relu) {
    Product<T> product = call.product<T>(bias, accumulate);
    if (call.failed) return nullptr;
    product.relu = relu;
    // Giving up the lock costs more than a small product takes.
    const bool large =
        product.rows * product.cols * product.depth > kSerialWork || call.axis_count > 0;
    {
        const WithoutLock unlocked(large);
        multiply_batches(product, call.axes, call.axis_count);
    }
    if (recording()) call.record(product, bias);
    Py_RETURN_NONE;
}

// Of three arrays and one or None.
inline PyObject* run_matmul(PyObject* a, PyObject* b, PyObject* out, PyObject* bias,
                            bool accumulate, bool relu) {
    PyObject* const arrays[] = {a, b, out};
    MatmulCall call(arrays);
    if (call.failed) return nullptr;
    auto* given = bias == Py_None ? nullptr : (PyArrayObject*)bias;
    return call.type() == F32 ? run_matmul<float>(call, given, accumulate, relu)
                              : run_matmul<double>(call, given, accumulate, relu);
}

inline PyObject* py_matmul(PyObject*, PyObject* const* args, Py_ssize_t given) {
    if (given != 5 || !PyArray_Check(args[0]) || !PyArray_Check(args[1]) ||
        !PyArray_Check(args[2]) || (args[3] != Py_None && !PyArray_Check(args[3])) ||
        !PyBool_Check(args[4]))
        return PyErr_Format(PyExc_TypeError,
                            "matmul(a, b, out, bias, accumulate) takes NumPy arrays, "
                            "None or an array for bias, and a bool");
    return run_matmul(args[0], args[1], args[2], args[3], args[4] == Py_True, false);
}

// The shape of a @ b; its number of axes, or -1 where there is no such product.
inline int product_shape(PyArrayObject* a, PyArrayObject* b, npy_intp* shape) {
    const int na = PyArray_NDIM(a), nb = PyArray_NDIM(b), ndim = na > nb ? na : nb;
    if (na < 2 || nb < 2 || PyArray_DIM(a, na - 1) != PyArray_DIM(b, nb - 2)) return -1;
    for (int i = 0; i < ndim - 2; ++i) {
        const int da = i - (ndim - na), db = i - (ndim - nb);
        const npy_intp la = da < 0 ? 1 : PyArray_DIM(a, da), lb = db < 0 ? 1 : PyArray_DIM(b, db);
        if (la != lb && la != 1 && lb != 1) return -1;
        shape[i] = la == 1 ? lb : la;
    }
    shape[ndim - 2] = PyArray_DIM(a, na - 2);
    shape[ndim - 1] = PyArray_DIM(b, nb - 1);
    return ndim;
}

// Whether any byte may be in both arrays.
inline bool may_overlap(PyArrayObject* x, PyArrayObject* y) {
    uintptr_t low[2], high[2];
    PyArrayObject* const both[] = {x, y};
    for (int k = 0; k < 2; ++k) {
        low[k] = (uintptr_t)PyArray_DATA(both[k]);
        high[k] = low[k] + PyArray_ITEMSIZE(both[k]);
        for (int d = 0; d < PyArray_NDIM(both[k]); ++d) {
            const npy_intp span = (PyArray_DIM(both[k], d) - 1) * PyArray_STRIDE(both[k], d);
            (span < 0 ? low[k] : high[k]) += span;
        }
    }
    return low[0] < high[1] && low[1] < high[0];
}

// `into` where that is an array of this shape, apart from what is read; else a new one.
inline PyArrayObject* result_array(PyObject* into, int ndim, const npy_intp* shape,
                                   PyArrayObject* a, PyArrayObject* b) {
    auto* given = (PyArrayObject*)into;
    if (PyArray_CheckExact(into) && type_of(given) == type_of(a) && PyArray_ISCARRAY(given) &&
        PyArray_NDIM(given) == ndim && PyArray_CompareLists(PyArray_DIMS(given), shape, ndim) &&
        !may_overlap(given, a) && !may_overlap(given, b))
        return (PyArrayObject*)Py_NewRef(into);
    return new_array(a, ndim, shape);
}

// a @ b (+ bias), and max(…, 0) of it if `relu`, in `into` or in a new array; NotImplemented where
// it is not for these. Objects of any kind; `bias` and `into` may be None.
inline PyObject* new_product(PyObject* left, PyObject* right, PyObject* bias, PyObject* into,
                             bool relu = false) {
    if (!PyArray_CheckExact(left) || !PyArray_CheckExact(right)) Py_RETURN_NOTIMPLEMENTED;
    auto *a = (PyArrayObject*)left, *b = (PyArrayObject*)right;
    const Type type = type_of(a);
    npy_intp shape[NPY_MAXDIMS];
    const int ndim = product_shape(a, b, shape);
    if ((type != F32 && type != F64) || type_of(b) != type || ndim < 0) Py_RETURN_NOTIMPLEMENTED;
    if (bias != Py_None) {
        auto* added = (PyArrayObject*)bias;
        if (!PyArray_CheckExact(bias) || type_of(added) != type || !PyArray_ISCARRAY_RO(added) ||
            PyArray_NDIM(added) != 1 || PyArray_SIZE(added) != shape[ndim - 1])
            Py_RETURN_NOTIMPLEMENTED;
    }
    const Ref out((PyObject*)result_array(into, ndim, shape, a, b));
    const Ref done(out ? run_matmul(left, right, out, bias, false, relu) : nullptr);
    return done ? Py_NewRef(out) : nullptr;
}

// A matrix with its axes exchanged; anything else as it is.
inline Ref transposed(PyObject* x) {
    const bool is_matrix = PyArray_CheckExact(x) && PyArray_NDIM((PyArrayObject*)x) == 2;
    return is_matrix ? Ref(PyArray_Transpose((PyArrayObject*)x, nullptr)) : Ref::to(x);
}

inline PyObject* wrong_count(const char* signature, Py_ssize_t given) {
    return PyErr_Format(PyExc_TypeError, "%s got %zd arguments", signature, given);
}

inline PyObject* py_new_matmul(PyObject*, PyObject* const* args, Py_ssize_t given) {
    if (given != 2) return wrong_count("new_matmul(a, b)", given);
    return new_product(args[0], args[1], Py_None, Py_None);
}

// x @ weightᵀ + bias
inline PyObject* new_linear(PyObject* x, PyObject* weight, PyObject* bias, bool relu) {
    if (!PyArray_CheckExact(weight) || PyArray_NDIM((PyArrayObject*)weight) != 2)
        Py_RETURN_NOTIMPLEMENTED;
    const Ref turned = transposed(weight);
    return turned ? new_product(x, turned, bias, Py_None, relu) : nullptr;
}

inline PyObject* py_new_linear(PyObject*, PyObject* const* args, Py_ssize_t given) {
    if (given != 3) return wrong_count("new_linear(x, weight, bias)", given);
    return new_linear(args[0], args[1], args[2], false);
}

inline PyObject* py_new_linear_relu(PyObject*, PyObject* const* args, Py_ssize_t given) {
    if (given != 3) return wrong_count("new_linear_relu(x, weight, bias)", given);
    return new_linear(args[0], args[1], args[2], true);
}

// dyᵀ @ x
inline PyObject* py_new_weight_gradient(PyObject*, PyObject* const* args, Py_ssize_t given) {
    if (given != 3) return wrong_count("new_weight_gradient(dy, x, into)", given);
    const Ref turned = transposed(args[0]);
    return turned ? new_product(turned, args[1], Py_None, args[2]) : nullptr;
}

}  // namespace tl
