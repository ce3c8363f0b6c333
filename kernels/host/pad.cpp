// Padding by the mirror image, the edge, the other end or one value, and the way back. A row of the
// result is one copy and a few elements at its ends; which row it comes from, a table says.
#define NO_IMPORT_ARRAY  // module.h does it

#include <algorithm>
#include <cstring>

#include "copy.h"
#include "numpy.h"
#include "objects.h"
#include "pool.h"
#include "record.h"
#include "types.h"

namespace tl {
namespace {

constexpr Index kWorthTheLock = 65536;  // elements; to give it up takes as long as to pad a small array

enum Mode { kConstant, kReflect, kReplicate, kCircular };

struct Axis {
    Index before, after, n;           // elements added, and elements of the input
    Index step;                       // bytes, in the input
    List<Index> from;          // for each element of the result; -1 is the value
    bool is_padded() const { return before || after; }
};

Index source(Mode mode, Index place, Index n) {
    if (place >= 0 && place < n) return place;
    switch (mode) {
        case kReflect: return place < 0 ? -place : 2 * (n - 1) - place;
        case kReplicate: return place < 0 ? 0 : n - 1;
        case kCircular: return place < 0 ? place + n : place - n;
        default: return -1;
    }
}

PyArrayObject* new_array(PyArrayObject* like, int ndim, const npy_intp* shape) {
    PyArray_Descr* descr = PyArray_DESCR(like);
    Py_INCREF(descr);
    return (PyArrayObject*)PyArray_NewFromDescr(&PyArray_Type, descr, ndim, (npy_intp*)shape, nullptr,
                                                nullptr, 0, nullptr);
}

// Reads ((before, after), …); false where it is not that, or asks for elements that there are not.
bool read_axes(PyArrayObject* x, PyObject* widths, Mode mode, bool inner, List<Axis>& axes) {
    const int ndim = PyArray_NDIM(x);
    if (!ndim || !PyTuple_CheckExact(widths) || PyTuple_GET_SIZE(widths) != ndim) return false;
    for (int i = 0; i < ndim; ++i) {
        PyObject* pair = PyTuple_GET_ITEM(widths, i);
        if (!PyTuple_CheckExact(pair) || PyTuple_GET_SIZE(pair) != 2) return false;
        Axis axis;
        axis.before = PyLong_AsLongLong(PyTuple_GET_ITEM(pair, 0));
        axis.after = PyLong_AsLongLong(PyTuple_GET_ITEM(pair, 1));
        if (PyErr_Occurred()) {
            PyErr_Clear();
            return false;
        }
        axis.n = PyArray_DIM(x, i) - (inner ? axis.before + axis.after : 0);
        axis.step = PyArray_STRIDE(x, i);
        const Index most = std::max(axis.before, axis.after);
        const Index room = mode == kConstant ? most : mode == kReflect ? axis.n - 1 : axis.n;
        if (axis.before < 0 || axis.after < 0 || axis.n < 0) return false;
        if (mode == kReplicate ? most && !axis.n : most > room) return false;
        axis.from.reserve(bytes_of(axis.before + axis.n + axis.after, 1));
        for (Index j = -axis.before; j < axis.n + axis.after; ++j)
            axis.from.push_back(source(mode, j, axis.n));
        axes.push_back(std::move(axis));
    }
    return true;
}

Index count_of(const List<Axis>& axes, size_t begin, size_t end) {
    Index count = 1;
    for (size_t i = begin; i < end; ++i) count *= axes[i].from.size();
    return count;
}

constexpr Index kNowhere = INT64_MIN;

// Where part `row` of the first `count` axes of the result comes from, in bytes; kNowhere if it is
// all of one value.
Index row_source(const List<Axis>& axes, size_t count, Index row) {
    Index place = 0;
    for (size_t i = count; i-- > 0;) {
        const Axis& axis = axes[i];
        const Index length = axis.from.size(), from = axis.from[row % length];
        if (from < 0) return kNowhere;
        place += from * axis.step;
        row /= length;
    }
    return place;
}

template <typename T>
void pad_rows(const char* x, T* y, const List<Axis>& axes, T value) {
    const Axis& last = axes.back();
    const Index length = last.from.size(), rows = count_of(axes, 0, axes.size() - 1);
    const bool dense = last.step == sizeof(T);
    const size_t planes = axes.size() > 1 ? axes.size() - 2 : 0;
    const Axis single = {0, 0, 1, 0, {0}}, &middle = axes.size() > 1 ? axes[planes] : single;
    const Index rows_each = middle.from.size();
    parallel_range(rows, kGrain / (length + 1) + 1, [&](Index begin, Index end) {
        Index plane = begin / rows_each, within = begin % rows_each;
        Index place = row_source(axes, planes, plane);
        for (Index row = begin; row < end; ++row, ++within) {
            if (within == rows_each) {  // divisions once per plane, not once per row
                within = 0;
                place = row_source(axes, planes, ++plane);
            }
            T* to = y + row * length;
            if (place == kNowhere || middle.from[within] < 0) {
                std::fill_n(to, length, value);
                continue;
            }
            const char* from = x + place + middle.from[within] * middle.step;
            const auto at = [&](Index j) { return *(const T*)(from + last.from[j] * last.step); };
            const auto edge = [&](Index j) { to[j] = last.from[j] < 0 ? value : at(j); };
            for (Index j = 0; j < last.before; ++j) edge(j);
            if (dense)
                std::memcpy(to + last.before, from, last.n * sizeof(T));
            else
                for (Index j = 0; j < last.n; ++j) to[last.before + j] = at(last.before + j);
            for (Index j = last.before + last.n; j < length; ++j) edge(j);
        }
    });
}

// Blocks of axes in front that are not padded add to places of their own, on all threads.
template <typename T>
void add_rows(const T* g, T* dx, const List<Axis>& axes) {
    size_t outer = 0;
    while (outer + 1 < axes.size() && !axes[outer].is_padded()) ++outer;
    const Axis& last = axes.back();
    const Index length = last.from.size(), rows = count_of(axes, outer, axes.size() - 1);
    List<Axis> inner(axes.begin() + outer, axes.end());
    Index size = 1;
    for (const Axis& axis : inner) size *= axis.n;
    Index step = sizeof(T);
    for (size_t i = inner.size(); i-- > 0; step *= inner[i].n) inner[i].step = step;
    parallel_range(count_of(axes, 0, outer), kGrain / (rows * length + 1) + 1, [&](Index begin, Index end) {
        for (Index block = begin; block < end; ++block) {
            char* to = (char*)(dx + block * size);
            std::memset(to, 0, size * sizeof(T));
            for (Index row = 0; row < rows; ++row) {
                T* sums = (T*)(to + row_source(inner, inner.size() - 1, row));
                const T* from = g + (block * rows + row) * length;
                for (Index j = 0; j < last.n; ++j) sums[j] += from[last.before + j];
                for (Index j = 0; j < last.before; ++j) sums[last.from[j]] += from[j];
                for (Index j = last.before + last.n; j < length; ++j) sums[last.from[j]] += from[j];
            }
        }
    });
}

bool mode_of(PyObject* how, Mode& mode) {
    const char* names[] = {"", "reflect", "replicate", "circular"};
    for (int i = kReflect; i <= kCircular; ++i)
        if (PyUnicode_Check(how) && !PyUnicode_CompareWithASCIIString(how, names[i])) {
            mode = Mode(i);
            return true;
        }
    mode = kConstant;
    return PyFloat_Check(how) || PyLong_Check(how);
}

template <typename T>
bool pad_into(PyArrayObject* x, PyArrayObject* y, const List<Axis>& axes, PyObject* how) {
    T value{};
    if (!PyUnicode_Check(how)) {
        const Ref number((PyObject*)new_array(x, 0, nullptr));
        if (!number || PyArray_SETITEM((PyArrayObject*)(PyObject*)number,
                                       (char*)PyArray_DATA((PyArrayObject*)(PyObject*)number), how))
            return false;
        std::memcpy(&value, PyArray_DATA((PyArrayObject*)(PyObject*)number), sizeof(T));
    }
    {
        const WithoutLock unlocked(PyArray_SIZE(y) > kWorthTheLock);
        pad_rows((const char*)PyArray_DATA(x), (T*)PyArray_DATA(y), axes, value);
    }
    if (recording())
        open_log()->note("pad", {operand(x, false), operand(y, true)}, {}, [axes, value](void* const* p) {
            pad_rows((const char*)p[0], (T*)p[1], axes, value);
        });
    return true;
}

}  // namespace

// new_pad(x, widths, how): `how` is a mode, or the value that is added.
PyObject* py_new_pad(PyObject*, PyObject* const* args, Py_ssize_t given) {
    if (given != 3) return PyErr_Format(PyExc_TypeError, "new_pad(x, widths, how) takes 3 arguments");
    auto* x = (PyArrayObject*)args[0];
    Mode mode;
    List<Axis> axes;
    if (!PyArray_CheckExact(args[0]) || !PyArray_ISBEHAVED_RO(x) || !PyArray_SIZE(x) ||
        PyDataType_REFCHK(PyArray_DESCR(x)) || !mode_of(args[2], mode) ||
        !read_axes(x, args[1], mode, false, axes))
        Py_RETURN_NOTIMPLEMENTED;
    List<npy_intp> shape;
    for (const Axis& axis : axes) shape.push_back(axis.from.size());
    Ref y((PyObject*)new_array(x, (int)shape.size(), shape.data()));
    if (!y) return nullptr;
    auto* to = (PyArrayObject*)(PyObject*)y;
    bool done;
    switch (PyArray_ITEMSIZE(x)) {
        case 1: done = pad_into<uint8_t>(x, to, axes, args[2]); break;
        case 2: done = pad_into<uint16_t>(x, to, axes, args[2]); break;
        case 4: done = pad_into<uint32_t>(x, to, axes, args[2]); break;
        case 8: done = pad_into<uint64_t>(x, to, axes, args[2]); break;
        default: Py_RETURN_NOTIMPLEMENTED;
    }
    return done ? y.release() : nullptr;
}

// new_pad_backward(d, widths, mode): the sum of what each element was copied to.
PyObject* py_new_pad_backward(PyObject*, PyObject* const* args, Py_ssize_t given) {
    if (given != 3)
        return PyErr_Format(PyExc_TypeError, "new_pad_backward(d, widths, mode) takes 3 arguments");
    auto* d = (PyArrayObject*)args[0];
    Mode mode;
    List<Axis> axes;
    if (!PyArray_CheckExact(args[0]) || !PyArray_ISCARRAY_RO(d) || !PyArray_SIZE(d) ||
        (type_of(d) != F32 && type_of(d) != F64) || !mode_of(args[2], mode) || mode == kConstant ||
        !read_axes(d, args[1], mode, true, axes))
        Py_RETURN_NOTIMPLEMENTED;
    List<npy_intp> shape;
    for (const Axis& axis : axes) shape.push_back(axis.n);
    Ref dx((PyObject*)new_array(d, (int)shape.size(), shape.data()));
    if (!dx) return nullptr;
    void* const arrays[] = {PyArray_DATA((PyArrayObject*)(PyObject*)dx), PyArray_DATA(d)};
    const bool is_float = type_of(d) == F32;
    const auto run = [axes, is_float](void* const* p) {
        if (is_float)
            add_rows((const float*)p[1], (float*)p[0], axes);
        else
            add_rows((const double*)p[1], (double*)p[0], axes);
    };
    {
        const WithoutLock unlocked(PyArray_SIZE(d) > kWorthTheLock);
        run(arrays);
    }
    if (recording())
        open_log()->note("pad_backward",
                         {operand((PyArrayObject*)(PyObject*)dx, true), operand(d, false)}, {}, run);
    return dx.release();
}

static PyMethodDef table_of_pad[] = {
    TL_METHOD("new_pad", py_new_pad, "new_pad(x, widths, how)"),
    TL_METHOD("new_pad_backward", py_new_pad_backward, "new_pad_backward(d, widths, mode)"),
    {nullptr, nullptr, 0, nullptr},
};
extern PyMethodDef* const pad_methods;
PyMethodDef* const pad_methods = table_of_pad;

}  // namespace tl
