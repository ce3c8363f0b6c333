// What Python asks at every step, answered without Python's own code: the shape of a Tensor, and whether
// parameters are those, and lie where, an optimizer left them.
#pragma once

#include "host/cuda.h"
#include "host/tape.h"

namespace tl {

// `Size` of tensorlite/tensor.py, kept alive for good.
inline PyObject*& size_type() {
    static PyObject* type = nullptr;
    return type;
}

// Elements are to be set.
inline Ref new_size(Py_ssize_t count) {
    auto* type = (PyTypeObject*)size_type();
    return Ref(type->tp_alloc(type, count));
}

inline PyObject* size_of_tuple(PyObject* lengths) {
    Ref made = new_size(length(lengths));
    for (Py_ssize_t i = 0; made && i < length(lengths); ++i)
        PyTuple_SET_ITEM((PyObject*)made, i, Py_NewRef(item(lengths, i)));
    return made.release();
}

// Tensor.shape
inline PyObject* get_shape(PyObject* tensor, void*) {
    PyObject* x = tape().data(tensor);
    if (!x) return PyErr_Format(PyExc_AttributeError, "a Tensor without an array has no shape");
    if (!PyArray_Check(x)) {
        const Ref lengths = TL_GET(x, shape);
        if (lengths && !PyTuple_Check(lengths))
            return PyErr_Format(PyExc_TypeError, "the shape of a %s is no tuple", Py_TYPE(x)->tp_name);
        return lengths ? size_of_tuple(lengths) : nullptr;
    }
    auto* array = (PyArrayObject*)x;
    Ref made = new_size(PyArray_NDIM(array));
    for (int d = 0; made && d < PyArray_NDIM(array); ++d) {
        PyObject* each = PyLong_FromSsize_t(PyArray_DIM(array, d));
        if (!each) return nullptr;
        PyTuple_SET_ITEM((PyObject*)made, d, each);
    }
    return made.release();
}

// Size.__getitem__: a part of a Size is a Size.
inline PyObject* size_item(PyObject* size, PyObject* index) {
    const Ref part(PyTuple_Type.tp_as_mapping->mp_subscript(size, index));
    return part && PySlice_Check(index) ? size_of_tuple(part) : Py_XNewRef(part);
}

// Put the two in the place of the functions that they do the work of.
inline bool replace_getters(PyObject* tensor, PyObject* size) {
    static PyGetSetDef shape = {"shape", get_shape, nullptr, "Lengths of the axes.", nullptr};
    static PyMethodDef item = {"__getitem__", size_item, METH_O | METH_COEXIST, nullptr};
    size_type() = Py_NewRef(size);
    const Ref getter(PyDescr_NewGetSet((PyTypeObject*)tensor, &shape));
    const Ref method(PyDescr_NewMethod((PyTypeObject*)size, &item));
    return getter && method && PyObject_SetAttrString(tensor, "shape", getter) == 0 &&
           PyObject_SetAttrString(size, "__getitem__", method) == 0;
}

// use_tape(Tensor, Node, OutputNode, next_index, Views, Plan, Size, mode, Switches)
PyObject* py_use_tape(PyObject*, PyObject* const* args, Py_ssize_t given) {
    if (given != 9)
        return PyErr_Format(PyExc_TypeError,
                            "use_tape(Tensor, Node, OutputNode, next_index, Views, Plan, Size, mode, Switches)");
    const bool used = tape().use(args[0], args[1], args[2], args[3], args[4], args[5], args[7], args[8]);
    return used && replace_getters(args[0], args[6]) ? Py_NewRef(Py_None) : nullptr;
}

// same_objects(a, b): whether two sequences hold the same objects.
PyObject* py_same_objects(PyObject*, PyObject* const* args, Py_ssize_t given) {
    if (given != 2) return PyErr_Format(PyExc_TypeError, "same_objects(a, b) takes two sequences");
    const Ref a(PySequence_Fast(args[0], "a is no sequence")), b(PySequence_Fast(args[1], "b is no sequence"));
    if (!a || !b) return nullptr;
    bool same = length(a) == length(b);
    for (Py_ssize_t i = 0; same && i < length(a); ++i) same = item(a, i) == item(b, i);
    return PyBool_FromLong(same);
}

// in_place(watched): whether of each (parameter, data, gradient) the parameter has these two arrays.
PyObject* py_in_place(PyObject*, PyObject* const* args, Py_ssize_t given) {
    if (given != 1 || !PyList_Check(args[0]))
        return PyErr_Format(PyExc_TypeError, "in_place(watched) takes a list of tuples");
    for (Py_ssize_t i = 0; i < length(args[0]); ++i) {
        const Ref each = Ref::to(item(args[0], i));
        if (!PyTuple_Check(each) || length(each) != 3 || !tape().is_tensor(item(each, 0)))
            return PyErr_Format(PyExc_TypeError, "in_place(watched): a tuple is (Tensor, array, array)");
        PyObject* parameter = item(each, 0);
        if (tape().data(parameter) != item(each, 1)) Py_RETURN_FALSE;
        PyObject* grad = tape().grad(parameter);
        if (!tape().is_tensor(grad) || tape().data(grad) != item(each, 2)) Py_RETURN_FALSE;
    }
    Py_RETURN_TRUE;
}

// forget_gradients(parameters): the `grad` of each becomes None.
PyObject* py_forget_gradients(PyObject*, PyObject* const* args, Py_ssize_t given) {
    if (given != 1) return PyErr_Format(PyExc_TypeError, "forget_gradients(parameters) takes a sequence");
    const Ref parameters(PySequence_Fast(args[0], "the parameters of a group are a list"));
    if (!parameters) return nullptr;
    for (Py_ssize_t i = 0; i < length(parameters); ++i) {
        const Ref each = Ref::to(item(parameters, i));
        if (!tape().is_tensor(each))
            return PyErr_Format(PyExc_TypeError, "parameter %zd is a %s, not a Tensor", i, Py_TYPE(each)->tp_name);
        tape().set_grad(each, Py_None);
    }
    Py_RETURN_NONE;
}

}  // namespace tl
