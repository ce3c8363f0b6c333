// CuPy and the driver as host/cuda.h has them.
#define NO_IMPORT_ARRAY  // module.h does it
#include "host/cuda.h"

#include <dlfcn.h>

#include <algorithm>

namespace tl {

Cuda& cuda() {
    static Cuda known;
    return known;
}

bool Cuda::use(PyObject* array, PyObject* pointer, PyObject* stream, PyObject* current_stream,
               PyObject* driver_error, PyObject* allocator, PyObject* usual, PyObject* samples) {
    void* driver = dlopen("libcuda.so.1", RTLD_NOW);
    if (!driver) return false;
    launch_ = (decltype(launch_))dlsym(driver, "cuLaunchKernel");
    launch_together_ = (decltype(launch_together_))dlsym(driver, "cuLaunchCooperativeKernel");
    current_device_ = (decltype(current_device_))dlsym(driver, "cuCtxGetDevice");
    copy_ = (decltype(copy_))dlsym(driver, "cuMemcpyDtoDAsync_v2");
    if (!launch_ || !launch_together_ || !current_device_ || !copy_) return false;
    constexpr const char* kSignature = "intptr_t (void)";
    if (PyCapsule_IsValid(stream, kSignature))
        stream_ = (decltype(stream_))PyCapsule_GetPointer(stream, kSignature);
    current_stream_ = Py_NewRef(current_stream), driver_error_ = Py_NewRef(driver_error);
    const bool complete =
        size_.find(array, "size") && contiguous_.find(array, "_c_contiguous") &&
        dtype_.find(array, "dtype") && data_.find(array, "data") && shape_.find(array, "shape") &&
        strides_.find(array, "strides") && base_.find(array, "base") &&
        pointer_.find(pointer, "ptr") && device_.find(pointer, "device_id");
    if (!complete) return false;
    array_ = Py_NewRef(array);
    constexpr const char* kAllocator = "PyObject *(int __pyx_skip_dispatch)";
    if (!PyCapsule_IsValid(allocator, kAllocator)) return true;
    allocator_ = (decltype(allocator_))PyCapsule_GetPointer(allocator, kAllocator);
    usual_ = Py_NewRef(PyTuple_GET_ITEM(usual, 0)), direct_ = Py_NewRef(PyTuple_GET_ITEM(usual, 1));
    new_ = ((PyTypeObject*)array)->tp_base->tp_new, pointer_type_ = (PyTypeObject*)pointer;
    bool known = true;
    for (Py_ssize_t i = 0; known && i < PyTuple_GET_SIZE(samples); ++i)
        known = recognises(PyTuple_GET_ITEM(samples, i));
    PyErr_Clear();
    is_known_ = known;
    return true;
}

// Whether an array has the layout that is known here, and one that is made here is the same.
bool Cuda::recognises(PyObject* array) const {
    const Ref data = data_.of(array), type = dtype_.of(array), shape = shape_.of(array);
    if (!data || !type || !shape || !Py_IS_TYPE(data, pointer_type_)) return false;
    if (((PyTypeObject*)array_)->tp_base->tp_basicsize != (Py_ssize_t)sizeof(CupyArray) ||
        pointer_type_->tp_basicsize != (Py_ssize_t)sizeof(CupyPointer))
        return false;
    const auto& pointer = *(const CupyPointer*)(PyObject*)data;
    const CupyArray& own = known(array);
    if (own.dtype != type || own.data != data || own.base != Py_None || own.size != size_.integer(array) ||
        pointer.address != pointer_.integer(data) || pointer.device != device_.integer(data))
        return false;
    const Ref made = made_here(shape, type, data);
    if (!made || own.shape != known(made).shape) return false;
    for (const char* name : {"shape", "strides", "size", "ndim", "nbytes", "dtype", "data", "base",
                             "_c_contiguous", "_f_contiguous", "_index_32_bits"}) {
        const Ref ours(PyObject_GetAttrString(made, name)), theirs(PyObject_GetAttrString(array, name));
        if (!ours || !theirs || PyObject_RichCompareBool(ours, theirs, Py_EQ) != 1) return false;
    }
    return true;
}

// Memory from CuPy's current allocator. The package's own is passed by: it only says what an error means.
Ref Cuda::allocated(Py_ssize_t bytes) const {
    const Ref size(PyLong_FromSsize_t(bytes)), current(size ? allocator_(0) : nullptr);
    if (!current) return Ref();
    Ref found(PyObject_CallOneArg(current == usual_ ? direct_ : (PyObject*)current, size));
    if (!found && current == usual_) {
        PyErr_Clear();
        found = Ref(PyObject_CallOneArg(current, size));
    }
    if (!found || Py_IS_TYPE(found, pointer_type_)) return found;
    return PyErr_Format(PyExc_TypeError, "CuPy's allocator returned %R, which is no MemoryPointer", (PyObject*)found), Ref();
}

// A new array; nothing, and maybe no error, where CuPy's class is to make it.
Ref Cuda::made_here(PyObject* shape, PyObject* dtype, PyObject* data) const {
    constexpr int kMostAxes = 32;
    static PyObject* const nothing = PyTuple_New(0);
    if (!PyTuple_CheckExact(shape) || PyTuple_GET_SIZE(shape) > kMostAxes || !PyArray_DescrCheck(dtype)) return Ref();
    const Type type = type_of((PyArray_Descr*)dtype);
    const Ref usual(type == ANY ? nullptr : (PyObject*)PyArray_DescrFromType(((PyArray_Descr*)dtype)->type_num));
    if (usual != dtype || (data && !Py_IS_TYPE(data, pointer_type_))) return Ref();
    Py_ssize_t lengths[kMostAxes], bytes = item_size(type);
    const int count = (int)PyTuple_GET_SIZE(shape);
    for (int axis = 0; axis < count; ++axis) {
        PyObject* length = PyTuple_GET_ITEM(shape, axis);
        lengths[axis] = PyLong_CheckExact(length) ? PyLong_AsSsize_t(length) : 0;
        if (lengths[axis] < 1 || __builtin_mul_overflow(bytes, lengths[axis], &bytes)) return PyErr_Clear(), Ref();
    }
    Ref owned = data ? Ref::to(data) : allocated(bytes);
    Ref made(owned ? new_((PyTypeObject*)array_, nothing, nullptr) : nullptr);
    if (made)
        ((CupyArray*)(PyObject*)made)->fill(lengths, count, bytes / item_size(type), item_size(type), Py_NewRef(dtype), owned.release());
    return made;
}

Ref Cuda::make(PyObject* const* args, Py_ssize_t given) const {
    if (is_known_ && (given == 2 || given == 3)) {
        Ref made = made_here(args[0], args[1], given == 3 ? args[2] : nullptr);
        if (made || PyErr_Occurred()) return made;
    }
    return Ref(PyObject_Vectorcall(array_, args, given, nullptr));
}

bool Cuda::stream(intptr_t& found) const {
    if (stream_) return found = stream_(), true;
    const Ref stream = call(current_stream_);
    const Ref pointer = stream ? TL_GET(stream, ptr) : Ref();
    if (!pointer) return false;
    found = PyLong_AsSsize_t(pointer);
    return !PyErr_Occurred();
}

Ref Cuda::part(PyObject* array, Index i, const npy_intp* lengths, int count) const {
    const Ref shape(PyTuple_New(count)), type = dtype(array), data = data_.of(array);
    Index bytes = i * item_size(type_of((PyArray_Descr*)(PyObject*)type));
    for (int axis = 0; shape && axis < count; ++axis) {
        PyTuple_SET_ITEM((PyObject*)shape, axis, PyLong_FromSsize_t(lengths[axis]));
        bytes *= lengths[axis];
    }
    const Ref offset(PyLong_FromLongLong(bytes));
    const Ref start(shape && offset ? PyNumber_Add(data, offset) : nullptr);
    PyObject* const all[] = {shape, type, start};
    return start ? make(all, 3) : Ref();
}

bool Cuda::launch(void* function, Index grid, int threads, int teams, int shared, bool together,
                  void** arguments) const {
    intptr_t queue;
    if (!stream(queue)) return false;
    int status;
    // A launch waits where the queue is full, maybe for a function of the host that needs the lock.
    Py_BEGIN_ALLOW_THREADS;
    status = together ? launch_together_(function, (unsigned)grid, 1, 1, threads, teams, 1, shared,
                                         queue, arguments)
                      : launch_(function, (unsigned)grid, 1, 1, threads, teams, 1, shared, queue,
                                arguments, nullptr);
    Py_END_ALLOW_THREADS;
    return !status || failed(status);
}

// Raises CuPy's error of the driver.
bool Cuda::failed(int status) const {
    const Ref number(PyLong_FromLong(status)), error = number ? call(driver_error_, number) : Ref();
    if (error) PyErr_SetObject((PyObject*)Py_TYPE(error), error);
    return false;
}

int Cuda::copy(PyObject* to, PyObject* from) const {
    if (!is_array(to) || !is_array(from) || !is_contiguous(to) || !is_contiguous(from)) return 0;
    const CudaArray target = read(to), source = read(from);
    if (dtype(to) != dtype(from) || target.size != source.size || target.device != source.device) return 0;
    if (target.device != current_device()) return 0;
    if (!target.size) return 1;
    intptr_t queue;
    if (!stream(queue)) return -1;
    const Index bytes = target.size * item_size(target.type);
    const int status = copy_(target.address, source.address, bytes, queue);
    return !status || failed(status) ? 1 : -1;
}

// use_cuda(ndarray, MemoryPointer, stream, current_stream, driver_error, allocator, usual, samples):
// whether kernels can be launched from here.
PyObject* py_use_cuda(PyObject*, PyObject* const* args, Py_ssize_t given) {
    if (given != 8 || !PyType_Check(args[0]) || !PyType_Check(args[1]) || !PyTuple_Check(args[6]) ||
        PyTuple_GET_SIZE(args[6]) != 2 || !PyTuple_Check(args[7]))
        return PyErr_Format(PyExc_TypeError,
                            "use_cuda(ndarray, MemoryPointer, stream, current_stream, driver_error, "
                            "allocator, usual, samples)");
    const bool usable = cuda().use(args[0], args[1], args[2], args[3], args[4], args[5], args[6], args[7]);
    return PyErr_Occurred() ? nullptr : PyBool_FromLong(usable);
}

// cuda_empty(shape, dtype, memptr, strides): a new array, as by CuPy's class of arrays.
PyObject* py_cuda_empty(PyObject*, PyObject* const* args, Py_ssize_t given) {
    return cuda().make(args, given).release();
}

// use_cuda_library(kernels, xp): what primitives are given for arrays on CUDA.
PyObject* py_use_cuda_library(PyObject*, PyObject* const* args, Py_ssize_t given) {
    if (given != 2) return PyErr_Format(PyExc_TypeError, "use_cuda_library(kernels, xp)");
    cuda().kernels = Py_NewRef(args[0]), cuda().xp = Py_NewRef(args[1]);
    Py_RETURN_NONE;
}

}  // namespace tl
