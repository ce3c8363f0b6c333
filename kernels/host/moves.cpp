// Copying arrays and filling them with zeros.
#define NO_IMPORT_ARRAY  // module.h does it

#include <algorithm>
#include <cstring>

#include "copy.h"
#include "objects.h"
#include "record.h"

namespace tl {

// copy(to, from): any strides; the two must not share memory.
PyObject* py_copy(PyObject*, PyObject* const* args, Py_ssize_t given) {
    if (given != 2 || !PyArray_Check(args[0]) || !PyArray_Check(args[1]))
        return PyErr_Format(PyExc_TypeError, "copy(to, from) takes two NumPy arrays");
    auto *to = (PyArrayObject*)args[0], *from = (PyArrayObject*)args[1];
    if (!PyArray_SAMESHAPE(to, from) || PyDataType_REFCHK(PyArray_DESCR(to)) ||
        !PyArray_EquivTypes(PyArray_DESCR(to), PyArray_DESCR(from)))
        return PyErr_Format(PyExc_ValueError, "copy(to, from): shapes and dtypes must agree");
    if (!PyArray_ISWRITEABLE(to))
        return PyErr_Format(PyExc_ValueError, "copy(to, from): to must be writeable");
    CopyAxis axes[kMostAxes];
    for (int i = 0; i < PyArray_NDIM(to); ++i)
        axes[i] = {PyArray_DIM(to, i), PyArray_STRIDE(to, i), PyArray_STRIDE(from, i)};
    const int count = PyArray_NDIM(to);
    const Index size = PyArray_ITEMSIZE(to);
    if (recording()) {
        const std::vector<CopyAxis> kept(axes, axes + count);
        const auto again = [=](void* const* p) {
            CopyAxis lost[kMostAxes];
            std::copy(kept.begin(), kept.end(), lost);
            copy_strided((char*)p[0], (const char*)p[1], lost, count, size);
        };
        const bool whole = PyArray_IS_C_CONTIGUOUS(to) && PyArray_IS_C_CONTIGUOUS(from);
        std::vector<Scalar> form;  // of each axis: its length, both strides
        for (const CopyAxis& axis : kept) form.insert(form.end(), {axis.count, axis.to, axis.from});
        open_log()->note("copy", {operand(to, true), operand(from, false)}, form, again,
                         whole ? unsigned(kWholeCopy) : 0u);
    }
    {
        const WithoutLock unlocked;
        copy_strided((char*)PyArray_DATA(to), (const char*)PyArray_DATA(from), axes, count, size);
    }
    Py_RETURN_NONE;
}

// zero(to): to[...] = 0, of an array without gaps.
PyObject* py_zero(PyObject*, PyObject* const* args, Py_ssize_t given) {
    auto* to = (PyArrayObject*)args[0];
    if (given != 1 || !PyArray_Check(to) || !PyArray_ISCARRAY(to) || PyDataType_REFCHK(PyArray_DESCR(to)))
        return PyErr_Format(PyExc_TypeError, "zero(to) takes a writeable NumPy array without gaps");
    const size_t bytes = PyArray_NBYTES(to);
    std::memset(PyArray_DATA(to), 0, bytes);
    if (recording())
        open_log()->note("zero", {operand(to, true)}, {}, [bytes](void* const* p) { std::memset(p[0], 0, bytes); },
                         kZeroes);
    Py_RETURN_NONE;
}

}  // namespace tl
