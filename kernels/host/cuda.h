// CuPy's arrays and the driver's launch, for kernels on CUDA: nothing here is linked with CUDA. CuPy
// is asked for its classes once, and the driver that it has loaded for two functions.
#pragma once

#include "host/cupy.h"
#include "host/numpy.h"
#include "types.h"

namespace tl {

// A read-only attribute of an extension class, read without the search for its name.
class Getter {
    PyGetSetDef* found_ = nullptr;

  public:
    bool find(PyObject* type, const char* name) {
        const Ref descriptor(PyObject_GetAttrString(type, name));
        if (!descriptor) return false;
        if (!Py_IS_TYPE(descriptor, &PyGetSetDescr_Type))
            return PyErr_Format(PyExc_TypeError, "%R has no attribute %s", type, name), false;
        found_ = ((PyGetSetDescrObject*)(PyObject*)descriptor)->d_getset;
        return true;
    }
    Ref of(PyObject* object) const { return Ref(found_->get(object, found_->closure)); }
    long long integer(PyObject* object) const {
        const Ref value = of(object);
        return value ? PyLong_AsLongLong(value) : -1;
    }
};

// Bytes of an element.
inline Index item_size(Type type) {
    switch (type) {
        case F64:
        case I64: return 8;
        case F16:
        case BF16: return 2;
        case BOOL:
        case U8: return 1;
        default: return 4;
    }
}

// What a kernel must know of an array on a device.
struct CudaArray {
    uintptr_t address;
    Index size;
    Type type;
    int device;
};

class TL_SHARED Cuda {
    PyObject *array_ = nullptr, *current_stream_ = nullptr, *driver_error_ = nullptr;
    Getter size_, contiguous_, dtype_, data_, shape_, strides_, base_, pointer_, device_;
    intptr_t (*stream_)() = nullptr;
    int (*launch_)(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                   intptr_t, void**, void**) = nullptr;
    int (*launch_together_)(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                            intptr_t, void**) = nullptr;
    int (*current_device_)(int*) = nullptr;
    int (*copy_)(uintptr_t, uintptr_t, size_t, intptr_t) = nullptr;
    // Where arrays are made and read here, as `CupyArray`: what finds CuPy's current allocator, the one
    // of the package, the one that it explains the errors of, and how objects begin.
    bool is_known_ = false;
    PyObject* (*allocator_)(int) = nullptr;
    PyObject *usual_ = nullptr, *direct_ = nullptr;
    newfunc new_ = nullptr;
    PyTypeObject* pointer_type_ = nullptr;

    static const CupyArray& known(PyObject* array) { return *(const CupyArray*)array; }
    bool recognises(PyObject* array) const;
    Ref made_here(PyObject* shape, PyObject* dtype, PyObject* data) const;
    Ref allocated(Py_ssize_t bytes) const;
    bool failed(int status) const;

  public:
    // The library of kernels and the array namespace, as primitives get them; null until there are.
    PyObject *kernels = nullptr, *xp = nullptr;

    // `stream` and `allocator` are capsules of C functions, or None; `usual` is the package's allocator
    // and the one in it; `samples` are arrays. False, and no error, without a driver.
    bool use(PyObject* array, PyObject* pointer, PyObject* stream, PyObject* current_stream,
             PyObject* driver_error, PyObject* allocator, PyObject* usual, PyObject* samples);

    bool is_array(PyObject* object) const { return array_ && Py_IS_TYPE(object, (PyTypeObject*)array_); }

    // Of arrays.
    Ref shape(PyObject* array) const { return shape_.of(array); }
    Ref dtype(PyObject* array) const {
        return is_known_ ? Ref::to(known(array).dtype) : dtype_.of(array);
    }
    Ref strides(PyObject* array) const { return strides_.of(array); }
    Ref base(PyObject* array) const { return base_.of(array); }
    Index size(PyObject* array) const { return is_known_ ? known(array).size : size_.integer(array); }
    bool is_contiguous(PyObject* array) const {
        return is_known_ ? known(array).c_contiguous : contiguous_.of(array) == Py_True;
    }
    CudaArray read(PyObject* array) const {
        const Ref type = dtype(array);
        if (is_known_) {
            const auto& data = *(const CupyPointer*)known(array).data;
            return {(uintptr_t)data.address, known(array).size, type_of((PyArray_Descr*)(PyObject*)type), data.device};
        }
        const Ref data = data_.of(array);
        return {(uintptr_t)pointer_.integer(data), size_.integer(array),
                type_of((PyArray_Descr*)(PyObject*)type), (int)device_.integer(data)};
    }

    // A new array of uninitialised elements, from CuPy's current allocator.
    Ref empty(PyObject* shape, PyObject* dtype) const {
        PyObject* const both[] = {shape, dtype};
        return make(both, 2);
    }

    // The same as CuPy's `ndarray(shape, dtype, memptr, strides)`, of which the last two may be left out.
    Ref make(PyObject* const* args, Py_ssize_t given) const;

    // Whether an array's elements lie one behind the other, each where its type may begin.
    bool is_dense(PyObject* array) const {
        const CudaArray found = read(array);
        return is_contiguous(array) && found.address % item_size(found.type) == 0;
    }

    // Row `i` of an array's first axis, each row dense and of these lengths.
    Ref part(PyObject* array, Index i, const npy_intp* lengths, int count) const;

    // The device that is current in this thread; -1 if none is yet.
    int current_device() const {
        int device = -1;
        return current_device_(&device) ? -1 : device;
    }
    bool stream(intptr_t& found) const;

    // Queues a kernel on CuPy's current stream: the one place where kernels of ours are launched
    // from compiled code. `together`: its blocks wait for one another, so that all must run at once.
    // False where an error is pending.
    bool launch(void* function, Index grid, int threads, int teams, int shared, bool together,
                void** arguments) const;

    // Queues a copy from one dense array to another of as many elements, of one dtype, on the current
    // device, if that is what they are. -1 where an error is pending.
    int copy(PyObject* to, PyObject* from) const;
};

// The one CUDA, known once `use_cuda` was called.
TL_SHARED Cuda& cuda();

// An array of either device: NumPy's or CuPy's.
inline bool is_array(PyObject* object) { return PyArray_CheckExact(object) || cuda().is_array(object); }

inline Ref dtype_of(PyObject* array) {
    if (!PyArray_CheckExact(array)) return cuda().dtype(array);
    return Ref::to((PyObject*)PyArray_DESCR((PyArrayObject*)array));
}

inline Index size_of(PyObject* array) {
    return PyArray_CheckExact(array) ? (Index)PyArray_SIZE((PyArrayObject*)array) : cuda().size(array);
}

}  // namespace tl
