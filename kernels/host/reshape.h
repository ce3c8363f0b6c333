// new_reshape(x, shape): the elements of an array in order under another shape. NotImplemented where
// that needs a copy, or where Python knows better what is wrong with the shape.
#pragma once

#include "host/numpy.h"

namespace tl {

PyObject* py_new_reshape(PyObject*, PyObject* const* args, Py_ssize_t given) {
    if (given != 2) return PyErr_Format(PyExc_TypeError, "new_reshape(x, shape) takes 2 arguments");
    auto* x = (PyArrayObject*)args[0];
    const bool listed = PyTuple_CheckExact(args[1]) || PyList_CheckExact(args[1]);
    if (!PyArray_CheckExact(x) || !PyArray_IS_C_CONTIGUOUS(x) || !listed) Py_RETURN_NOTIMPLEMENTED;
    npy_intp lengths[NPY_MAXDIMS];
    const Py_ssize_t count = length(args[1]);
    if (count > NPY_MAXDIMS) Py_RETURN_NOTIMPLEMENTED;
    for (Py_ssize_t i = 0; i < count; ++i) {
        PyObject* each = item(args[1], i);
        if (!PyLong_CheckExact(each)) Py_RETURN_NOTIMPLEMENTED;
        lengths[i] = PyLong_AsSsize_t(each);
        if (PyErr_Occurred()) PyErr_Clear(), lengths[i] = -2;
        if (lengths[i] < -1) Py_RETURN_NOTIMPLEMENTED;
    }
    PyArray_Dims shape = {lengths, int(count)};
    return PyArray_Newshape(x, &shape, NPY_CORDER);
}

}  // namespace tl
