#define NO_IMPORT_ARRAY  // module.h does it
#include "host/entry.h"

#include <algorithm>
#include <cmath>

namespace tl {

// host/moves.cpp
PyObject* py_copy(PyObject*, PyObject* const* args, Py_ssize_t given);

namespace {

constexpr int kMostSlots = 24, kMostDims = 16;

// Into how many parts column sums over `rows` rows are cut; as `parts` in host.py and cuda.py.
Index parts_of(Index rows, bool on_cuda) {
    Index root = (Index)std::sqrt((double)rows);
    while (root * root > rows) --root;
    while ((root + 1) * (root + 1) <= rows) ++root;
    return std::max<Index>(1, std::min<Index>(rows, std::max<Index>(on_cuda ? 256 : 32, root)));
}

// By `py_copy`, which recordings see.
Ref dense_copy(PyArrayObject* array) {
    Ref copy(PyArray_NewLikeArray(array, NPY_CORDER, nullptr, 0));
    PyObject* const both[] = {copy, (PyObject*)array};
    const Ref done(copy ? py_copy(nullptr, both, 2) : nullptr);
    return done ? std::move(copy) : Ref();
}

PyArray_Descr* descr_of(int type) {
    static const int numbers[] = {NPY_NOTYPE, NPY_FLOAT, NPY_DOUBLE, NPY_HALF,  NPY_NOTYPE,
                                  NPY_INT64,  NPY_INT32, NPY_UINT32, NPY_BOOL, NPY_UINT8};
    return PyArray_DescrFromType(numbers[type]);
}

}  // namespace

static bool is_output(int role) {
    return role == EntrySlot::kLike || role == EntrySlot::kPerRow || role == EntrySlot::kSums;
}

// What one call works with.
struct Entry::Making {
    bool on_cuda;
    Type type = ANY;  // T
    int axes = 0;     // of the first array
    npy_intp shape[kMostDims];
    Index size = 0;
    Index lengths[kMostSlots] = {};
    Ref dtype, shape_tuple;        // of the first array
    PyObject* owned[kMostSlots];   // arrays and numbers that are made here, of the first `made` slots
    int made = 0;
    PyObject* passed[kMostSlots];
    Ref partial;
    Index parts = 1, columns = 1;  // of the sums

    explicit Making(bool on_cuda) : on_cuda(on_cuda) {}
    Making(const Making&) = delete;
    ~Making() {
        if (!Ending::is_over())
            for (int i = 0; i < made; ++i) Py_XDECREF(owned[i]);
    }

    int wide() const { return type == F64 ? F64 : F32; }

    // A new array, of T or of a type of its own.
    Ref empty(const npy_intp* lengths, int count, int of_type) const {
        Ref descr = of_type == ANY ? Ref::to(dtype) : Ref((PyObject*)descr_of(of_type));
        if (!descr) return descr;
        if (!on_cuda)
            return Ref(PyArray_NewFromDescr(&PyArray_Type, (PyArray_Descr*)descr.release(), count,
                                            (npy_intp*)lengths, nullptr, nullptr, 0, nullptr));
        if (lengths == shape && count == axes && shape_tuple) return cuda().empty(shape_tuple, descr);
        const Ref tuple(PyTuple_New(count));
        for (int i = 0; tuple && i < count; ++i)
            PyTuple_SET_ITEM((PyObject*)tuple, i, PyLong_FromSsize_t(lengths[i]));
        return tuple ? cuda().empty(tuple, descr) : Ref();
    }

    // One row of the first axis of a dense array that was made here.
    Ref part(PyObject* array, Index i, const npy_intp* lengths, int count) const {
        if (!on_cuda) return Ref(PySequence_GetItem(array, i));
        return cuda().part(array, i, lengths, count);
    }
};

Entry::Entry(const char* name, unsigned allowed, std::vector<EntrySlot> slots)
    : name_(name), allowed_(allowed), slots_(std::move(slots)) {
    for (size_t i = 0; i < slots_.size(); ++i) {
        const EntrySlot& slot = slots_[i];
        if (first_ < 0 && slot.role == EntrySlot::kInput && slot.type == ANY && !slot.wide) first_ = i;
        sums_ += slot.role == EntrySlot::kSums;
        outputs_ += is_output(slot.role);
        given_ += slot.role == EntrySlot::kInput || slot.role == EntrySlot::kOptional ||
                  slot.role == EntrySlot::kGiven;
    }
}

PyObject* Entry::run(PyObject* const* args, Py_ssize_t given) const {
    if ((size_t)given != given_)
        return PyErr_Format(PyExc_TypeError, "new_%s takes %zd arguments, not %zd", name_,
                            (Py_ssize_t)given_, given);
    Making making(callable_ != nullptr);
    if (!understand(args, making)) {
        if (PyErr_Occurred()) return nullptr;
        Py_RETURN_NOTIMPLEMENTED;
    }
    if (!make(args, making)) return nullptr;
    const Ref done(kernel_ ? run_kernel(*kernel_, making.passed, slots_.size())
                           : PyObject_Vectorcall(callable_, making.passed, slots_.size(), nullptr));
    return done ? finish(making).release() : nullptr;
}

// Whether the inputs are what the kernel takes; nothing is made yet.
bool Entry::understand(PyObject* const* args, Making& making) const {
    int position = 0, first = 0;
    for (int i = 0; i < first_; ++i)
        first += slots_[i].role == EntrySlot::kInput || slots_[i].role == EntrySlot::kOptional;
    PyObject* x = args[first];
    if (making.on_cuda ? !cuda().is_array(x) : !PyArray_CheckExact(x)) return false;
    if (!making.on_cuda && !PyArray_ISNOTSWAPPED((PyArrayObject*)x)) return false;
    making.dtype = dtype_of(x);
    making.type = type_of((PyArray_Descr*)(PyObject*)making.dtype);
    if (!(allowed_ >> making.type & 1) || making.type == ANY) return false;
    if (making.on_cuda) {
        making.shape_tuple = cuda().shape(x);
        making.axes = (int)PyTuple_GET_SIZE((PyObject*)making.shape_tuple);
        if (making.axes > kMostDims) return false;
        for (int i = 0; i < making.axes; ++i)
            making.shape[i] = PyLong_AsSsize_t(PyTuple_GET_ITEM((PyObject*)making.shape_tuple, i));
    } else {
        making.axes = PyArray_NDIM((PyArrayObject*)x);
        if (making.axes > kMostDims) return false;
        std::copy_n(PyArray_DIMS((PyArrayObject*)x), making.axes, making.shape);
    }
    making.size = size_of(x);
    if (!making.size) return false;
    for (size_t i = 0; i < slots_.size(); ++i) {
        const EntrySlot& slot = slots_[i];
        if (slot.role != EntrySlot::kLength) continue;
        const npy_intp* shape = making.shape;
        const int axes = making.axes;
        Index& length = making.lengths[i];
        switch (slot.of) {
            case EntrySlot::kSize: length = making.size; break;
            case EntrySlot::kLast:
            case EntrySlot::kLeading:
                if (!axes) return false;
                length = slot.of == EntrySlot::kLast ? shape[axes - 1] : making.size / shape[axes - 1];
                break;
            case EntrySlot::kParts:
                if (!axes) return false;
                length = making.parts = parts_of(making.size / shape[axes - 1], making.on_cuda);
                break;
            default:
                if (axes < 2) return false;
                length = slot.of == EntrySlot::kFirst    ? shape[0]
                         : slot.of == EntrySlot::kSecond ? shape[1]
                                                         : making.size / (shape[0] * shape[1]);
        }
    }
    if (making.axes) making.columns = making.shape[making.axes - 1];
    for (const EntrySlot& slot : slots_) {
        if (slot.role == EntrySlot::kGiven) ++position;
        if (slot.role != EntrySlot::kInput && slot.role != EntrySlot::kOptional) continue;
        PyObject* array = args[position++];
        if (array == x || (array == Py_None && slot.role == EntrySlot::kOptional)) continue;
        if (making.on_cuda ? !cuda().is_array(array) : !PyArray_CheckExact(array)) return false;
        if (!making.on_cuda && !PyArray_ISNOTSWAPPED((PyArrayObject*)array)) return false;
        const Ref dtype = dtype_of(array);
        const int type = type_of((PyArray_Descr*)(PyObject*)dtype);
        if (type != (slot.type ? slot.type : slot.wide ? making.wide() : making.type)) return false;
        if (!fits(array, slot, making)) return false;
    }
    return true;
}

// Whether an input has the shape that the declaration says.
bool Entry::fits(PyObject* array, const EntrySlot& slot, const Making& making) const {
    const Index count = slot.count.of(making.lengths);
    if (size_of(array) != count) return false;
    if (slot.form == EntrySlot::kAnyhow) return true;
    const Ref lengths = making.on_cuda ? cuda().shape(array) : Ref();
    if (making.on_cuda && !lengths) return false;
    const int axes = making.on_cuda ? (int)PyTuple_GET_SIZE((PyObject*)lengths)
                                    : PyArray_NDIM((PyArrayObject*)array);
    if (slot.form == EntrySlot::kAxis || slot.form == EntrySlot::kNumber)
        return axes == (slot.form == EntrySlot::kAxis);  // and so many elements
    if (axes != making.axes) return false;
    for (int i = 0; i < axes; ++i) {
        const npy_intp length = making.on_cuda
                                    ? PyLong_AsSsize_t(PyTuple_GET_ITEM((PyObject*)lengths, i))
                                    : PyArray_DIM((PyArrayObject*)array, i);
        const bool last = slot.form == EntrySlot::kEachRow && i == axes - 1;
        if (length != (last ? 1 : making.shape[i])) return false;
    }
    return true;
}

// Lists what is passed: dense inputs, new outputs, numbers.
bool Entry::make(PyObject* const* args, Making& making) const {
    int sum = 0;
    for (size_t i = 0; i < slots_.size(); ++i) {
        const EntrySlot& slot = slots_[i];
        Ref owned;
        PyObject*& passed = making.passed[i];
        making.owned[making.made++] = nullptr;
        switch (slot.role) {
            case EntrySlot::kInput:
            case EntrySlot::kOptional:
                passed = *args++;
                if (passed == Py_None) continue;
                if (making.on_cuda) {
                    if (cuda().is_dense(passed)) continue;
                    owned = Ref(PyObject_CallMethodNoArgs(passed, TL_NAME(copy)));
                } else {
                    auto* array = (PyArrayObject*)passed;
                    if (PyArray_ISCARRAY_RO(array)) continue;
                    owned = dense_copy(array);
                }
                break;
            case EntrySlot::kGiven: passed = *args++; continue;
            case EntrySlot::kLength: owned = Ref(PyLong_FromLongLong(making.lengths[i])); break;
            case EntrySlot::kSums: {
                const npy_intp lengths[] = {sums_, (npy_intp)making.parts, (npy_intp)making.columns};
                if (!making.partial) making.partial = making.empty(lengths, 3, making.wide());
                if (making.partial) owned = making.part(making.partial, sum++, lengths + 1, 2);
                break;
            }
            default: {
                npy_intp lengths[kMostDims];
                const npy_intp* shape = making.shape;
                if (slot.role == EntrySlot::kPerRow) {
                    std::copy_n(making.shape, making.axes, lengths);
                    lengths[making.axes - 1] = 1;
                    shape = lengths;
                }
                owned = making.empty(shape, making.axes, slot.type ? slot.type : slot.wide ? making.wide() : ANY);
            }
        }
        if (!owned) return false;
        passed = making.owned[i] = owned.release();
    }
    return true;
}

// The outputs, the parts of those that are sums added up.
Ref Entry::finish(Making& making) const {
    const npy_intp lengths[] = {sums_, (npy_intp)making.columns};
    Ref totals;
    if (sums_) {
        totals = making.empty(lengths, 2, making.wide());
        const Ref sets(PyLong_FromLong(sums_)), parts(PyLong_FromLongLong(making.parts)),
            columns(PyLong_FromLongLong(making.columns));
        if (!totals || !sets || !parts || !columns) return Ref();
        PyObject* passed[] = {making.partial, totals, sets, parts, columns};
        const HostKernel* total = kernel_ ? host_kernel("column_total") : nullptr;
        if (kernel_ && !total) return Ref();
        const Ref done(total ? run_kernel(*total, passed, 5)
                             : PyObject_Vectorcall(total_callable_, passed, 5, nullptr));
        if (!done) return Ref();
    }
    Ref all(outputs_ > 1 ? PyTuple_New(outputs_) : nullptr);
    if (outputs_ > 1 && !all) return all;
    int count = 0, sum = 0;
    for (size_t i = 0; i < slots_.size(); ++i) {
        const int role = slots_[i].role;
        if (!is_output(role)) continue;
        Ref output = role == EntrySlot::kSums ? making.part(totals, sum++, lengths + 1, 1)
                                              : Ref(std::exchange(making.owned[i], nullptr));
        if (!output || !all) return output;
        PyTuple_SET_ITEM((PyObject*)all, count++, output.release());
    }
    return all;
}

namespace {

PyObject* run_entry(PyObject* self, PyObject* const* args, Py_ssize_t given) {
    return ((Entry*)PyCapsule_GetPointer(self, nullptr))->run(args, given);
}

}  // namespace

// cuda_entry(name, kernel, total, allowed, slots): a kernel of CUDA with its outputs, as a function.
PyObject* py_cuda_entry(PyObject*, PyObject* const* args, Py_ssize_t given) {
    static PyMethodDef definition = {"new_kernel", (PyCFunction)(void (*)(void))guarded<run_entry>, METH_FASTCALL,
                                     "the outputs of a kernel, from its inputs and scalars"};
    if (given != 5 || !PyUnicode_Check(args[0]) || !PyTuple_Check(args[4]) ||
        PyTuple_GET_SIZE(args[4]) > kMostSlots)
        return PyErr_Format(PyExc_TypeError, "cuda_entry(name, kernel, total, allowed, slots)");
    std::vector<EntrySlot> slots;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(args[4]); ++i) {
        EntrySlot slot;
        PyObject* steps;
        int wide;
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(args[4], i), "iipiiO!", &slot.role, &slot.type, &wide,
                              &slot.form, &slot.of, &PyTuple_Type, &steps) ||
            !slot.count.read(steps))
            return nullptr;
        slot.wide = wide;
        slots.push_back(std::move(slot));
    }
    const unsigned long allowed = PyLong_AsUnsignedLong(args[3]);
    if (PyErr_Occurred()) return nullptr;
    auto* made = new Entry(PyUnicode_AsUTF8(Py_NewRef(args[0])), Py_NewRef(args[1]),
                           Py_NewRef(args[2]), allowed, std::move(slots));  // for good, as the library
    const Ref capsule(PyCapsule_New(made, nullptr, nullptr));
    return capsule ? PyCFunction_New(&definition, capsule) : nullptr;
}

}  // namespace tl
