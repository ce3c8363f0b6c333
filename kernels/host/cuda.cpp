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
               PyObject* driver_error) {
    void* driver = dlopen("libcuda.so.1", RTLD_NOW);
    if (!driver) return false;
    launch_ = (decltype(launch_))dlsym(driver, "cuLaunchKernel");
    current_device_ = (decltype(current_device_))dlsym(driver, "cuCtxGetDevice");
    copy_ = (decltype(copy_))dlsym(driver, "cuMemcpyDtoDAsync_v2");
    if (!launch_ || !current_device_ || !copy_) return false;
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
    PyTypeObject* base = ((PyTypeObject*)array)->tp_base;
    init_ = PyObject_GetAttrString((PyObject*)base, "_init");
    if (!init_) PyErr_Clear();
    new_ = base->tp_new;
    return true;
}

Ref Cuda::make(PyObject* const* args, Py_ssize_t given) const {
    if (!init_) return Ref(PyObject_Vectorcall(array_, args, given, nullptr));
    static PyObject* const nothing = PyTuple_New(0);
    PyObject* passed[5];
    if (given > 4) return PyErr_SetString(PyExc_TypeError, "empty(shape, dtype, memptr, strides)"), Ref();
    Ref made(new_((PyTypeObject*)array_, nothing, nullptr));
    if (!made) return made;
    passed[0] = made;
    std::copy_n(args, given, passed + 1);
    const Ref done(PyObject_Vectorcall(init_, passed, given + 1, nullptr));
    return done ? std::move(made) : Ref();
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

bool Cuda::launch(void* function, Index grid, int threads, int teams, int shared,
                  void** arguments) const {
    intptr_t queue;
    if (!stream(queue)) return false;
    int status;
    // A launch waits where the queue is full, maybe for a function of the host that needs the lock.
    Py_BEGIN_ALLOW_THREADS;
    status = launch_(function, (unsigned)grid, 1, 1, threads, teams, 1, shared, queue, arguments,
                     nullptr);
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

// use_cuda(ndarray, MemoryPointer, stream, current_stream, driver_error): whether kernels can be
// launched from here.
PyObject* py_use_cuda(PyObject*, PyObject* const* args, Py_ssize_t given) {
    if (given != 5 || !PyType_Check(args[0]) || !PyType_Check(args[1]))
        return PyErr_Format(PyExc_TypeError,
                            "use_cuda(ndarray, MemoryPointer, stream, current_stream, driver_error)");
    const bool usable = cuda().use(args[0], args[1], args[2], args[3], args[4]);
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
