// What the generated bindings are written in: reading and checking the arguments of one call.
#pragma once

#include "host/allocator.h"
#include "host/copy.h"
#include "host/entry.h"
#include "host/numpy.h"
#include "host/record.h"
#include "host/short_floats.h"
#include "types.h"

namespace tl {

enum Access { READ = 0, WRITE = 1, OPTIONAL_ARRAY = 2, DENSE_ROWS = 4 };

struct Array {
    void* data;
    Index size;
};

// An array of four axes, of which the last is dense.
struct HeadsArray {
    void* data;
    Index length[4], stride[3];

    template <typename H>
    H as() const {
        return {(decltype(H::data))data, stride[0], stride[1], stride[2], length[1]};
    }
};

// A number of elements, and what it is computed from: not sound where one was negative or is too large.
class Count {
    Index value_;
    bool sound_;
    Count(Index value, bool sound) : value_(value), sound_(sound && value >= 0) {}

  public:
    Count(Index value) : Count(value, true) {}
    Index value() const { return value_; }
    bool is_sound() const { return sound_; }
    friend Count operator*(Count a, Count b) {
        const bool fits = !__builtin_mul_overflow(a.value_, b.value_, &a.value_);
        return {a.value_, a.sound_ && b.sound_ && fits};
    }
    friend Count operator+(Count a, Count b) {
        const bool fits = !__builtin_add_overflow(a.value_, b.value_, &a.value_);
        return {a.value_, a.sound_ && b.sound_ && fits};
    }
    friend Count operator-(Count a, Count b) {
        return {a.value_ - b.value_, a.sound_ && b.sound_};
    }
};

// The arguments of one call. After the first mistake `failed` is set, a Python error is pending, and
// further reads do nothing.
class Call {
    const char* signature_;
    PyObject* const* args_;
    Index elements_ = 0, written_ = 0;
    PyThreadState* state_ = nullptr;
    WidenedArrays widened_;

  public:
    bool failed = false;

    Call(const char* signature, PyObject* const* args, Py_ssize_t given, Py_ssize_t expected)
        : signature_(signature), args_(args) {
        if (given != expected)
            fail(PyExc_TypeError, "takes %zd arguments, not %zd", expected, given);
    }
    Call(const Call&) = delete;
    ~Call() {
        if (state_) take_lock(state_);
    }

    // An array of a fixed type.
    Array array(int i, const char* name, int access, Type type) { return read(i, name, type, access); }

    // An array of a type parameter: the first one decides what it stands for.
    Array typed(int i, const char* name, int access, Type& parameter) {
        return read(i, name, parameter, access);
    }

    // An array of what the type parameter is computed in.
    Array accumulator(int i, const char* name, int access, Type& parameter) {
        if (parameter == ANY) return read(i, name, parameter, access);
        Type type = parameter == F64 ? F64 : F32;
        return read(i, name, type, access);
    }

    HeadsArray heads(int i, const char* name, int access, Type& parameter) {
        HeadsArray found{read(i, name, parameter, access | DENSE_ROWS).data, {}, {}};
        if (failed) return found;
        auto* array = (PyArrayObject*)args_[i];
        const npy_intp item = PyArray_ITEMSIZE(array);
        const bool dense = PyArray_NDIM(array) == 4 && (PyArray_STRIDE(array, 3) == item ||
                           PyArray_DIM(array, 3) < 2 || PyArray_SIZE(array) == 0);
        if (!dense)
            return fail(PyExc_ValueError, "%s must have 4 axes, the last without gaps", name), found;
        for (int axis = 0; axis < 4; ++axis) found.length[axis] = PyArray_DIM(array, axis);
        for (int axis = 0; axis < 3; ++axis) found.stride[axis] = PyArray_STRIDE(array, axis) / item;
        return found;
    }

    Index integer(int i, const char* name) {
        if (failed) return 0;
        const Index value = PyLong_AsLongLong(args_[i]);
        if (value < 0) {
            if (PyErr_Occurred()) PyErr_Clear(), fail(PyExc_TypeError, "%s must be an integer", name);
        }
        return value;
    }
    int small_integer(int i, const char* name) {
        const Index value = integer(i, name);
        if (value != (int)value) fail(PyExc_ValueError, "%s does not fit into 32 bits", name);
        return (int)value;
    }
    double real(int i, const char* name) {
        if (failed) return 0;
        const double value = PyFloat_AsDouble(args_[i]);
        if (value == -1 && PyErr_Occurred()) {
            PyErr_Clear();
            fail(PyExc_TypeError, "%s must be a number", name);
        }
        return value;
    }
    bool truth(int i, const char* name) {
        if (failed) return false;
        if (!PyBool_Check(args_[i])) fail(PyExc_TypeError, "%s must be True or False", name);
        return args_[i] == Py_True;
    }
    uint64_t bits(int i, const char* name) {
        if (failed) return 0;
        const uint64_t value = PyLong_Check(args_[i]) ? PyLong_AsUnsignedLongLong(args_[i]) : 0;
        if (PyErr_Occurred() || !PyLong_Check(args_[i])) {
            PyErr_Clear();
            fail(PyExc_TypeError, "%s must be an integer from 0 to 2**64 - 1", name);
        }
        return value;
    }

    void check_count(const Array& array, const char* name, Count count) {
        if (failed || (count.is_sound() && (!array.data || array.size == count.value()))) return;
        if (array.data && array.size != count.value())
            fail(PyExc_ValueError, "%s has %lld elements, not %lld", name, (long long)array.size,
                 (long long)count.value());
        else
            fail(PyExc_ValueError, "the number of elements of %s comes from a negative number, or is "
                 "beyond 64 bits", name);
    }

    void check_lengths(const HeadsArray& array, const char* name, Count batch, Count heads,
                       Count length, Count dim) {
        const Index wanted[] = {batch.value(), heads.value(), length.value(), dim.value()};
        for (int axis = 0; axis < 4; ++axis)
            if (array.length[axis] != wanted[axis])
                return fail(PyExc_ValueError, "axis %d of %s has length %lld, not %lld", axis, name,
                            (long long)array.length[axis], (long long)wanted[axis]);
    }

    // Between start and finish the kernel runs, without Python's lock where it has much to do: giving
    // it up costs more than a small kernel takes.
    void start() { state_ = elements_ > 65536 ? give_up_lock() : nullptr; }
    PyObject* finish() {
        widened_.round();
        if (state_) take_lock(std::exchange(state_, nullptr));
        Py_RETURN_NONE;
    }
    // Whether all that it could write is empty.
    bool is_void() const { return written_ == 0; }
    PyObject* no_instance() {
        if (state_) take_lock(std::exchange(state_, nullptr));
        fail(PyExc_TypeError, "has no version for this combination of dtypes");
        return nullptr;
    }

    // Puts floats in the place of 16-bit floats.
    void widen(Array& array, Type type, Access access) {
        if (array.data)
            array.data = widened_.add(array.data, array.size, type == BF16, access == WRITE);
    }

  private:
    __attribute__((cold, noinline)) void fail(PyObject* type, const char* format, ...) {
        if (failed) return;
        failed = true;
        va_list values;
        va_start(values, format);
        PyObject* message = PyUnicode_FromFormatV(format, values);
        va_end(values);
        if (!message) return;
        PyErr_Format(type, "%s: %U", signature_, message);
        Py_DECREF(message);
    }

    __attribute__((noinline)) Array read(int i, const char* name, Type& wanted, int access) {
        const Array none = {nullptr, 0};
        if (failed || (args_[i] == Py_None && (access & OPTIONAL_ARRAY))) return none;
        if (!PyArray_Check(args_[i])) {
            fail(PyExc_TypeError, "%s must be a NumPy array, not %s", name, Py_TYPE(args_[i])->tp_name);
            return none;
        }
        auto* array = (PyArrayObject*)args_[i];
        const Type type = type_of(array);
        if (wanted == ANY && type <= BF16) wanted = type;
        const int flags = PyArray_FLAGS(array);
        const int needed = (access & DENSE_ROWS ? 0 : NPY_ARRAY_C_CONTIGUOUS) | NPY_ARRAY_ALIGNED |
                           (access & WRITE ? NPY_ARRAY_WRITEABLE : 0);
        if (type != wanted || type == ANY || !PyArray_ISNOTSWAPPED(array))
            fail(PyExc_TypeError, "%s must be %s, not %S", name, type_name(wanted),
                 (PyObject*)PyArray_DESCR(array));
        else if ((flags & needed) != needed)
            fail(PyExc_ValueError, "%s must be %saligned%s", name,
                 access & DENSE_ROWS ? "" : "C-contiguous, ", access & WRITE ? " and writeable" : "");
        const Index size = PyArray_SIZE(array);
        elements_ += size;
        if (access & WRITE) written_ += size;
        return {PyArray_DATA(array), size};
    }
};

// An array of heads as an operand of a recorded call, and the same elsewhere.
template <typename T>
Operand operand(const HeadsArray& array) {
    Index last = array.length[3];
    for (int axis = 0; axis < 3; ++axis) last += (array.length[axis] - 1) * array.stride[axis];
    return {array.data, 0, last * Index(sizeof(T)), !std::is_const<T>::value};
}
inline HeadsArray moved(HeadsArray array, void* data) {
    array.data = data;
    return array;
}

// A new array of these lengths, of the dtype of `like`.
inline PyArrayObject* new_array(PyArrayObject* like, int ndim, const npy_intp* shape) {
    PyArray_Descr* descr = PyArray_DESCR(like);
    Py_INCREF(descr);
    return (PyArrayObject*)PyArray_NewFromDescr(&PyArray_Type, descr, ndim, (npy_intp*)shape, nullptr,
                                                nullptr, 0, nullptr);
}

}  // namespace tl

#include "matmul.h"

namespace tl {

// host/tape.cpp
PyObject* py_use_tape(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_same_objects(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_in_place(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_forget_gradients(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_compiled_call(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_walk(PyObject*, PyObject* const* args, Py_ssize_t given);

// host/cuda.cpp
PyObject* py_use_cuda(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_use_cuda_library(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_cuda_kernel(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_cuda_entry(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_cuda_empty(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_watch_launches(PyObject*, PyObject* function);

// host/record.cpp
PyObject* py_log_open(PyObject*, PyObject*);
PyObject* py_log_enter(PyObject*, PyObject*);
PyObject* py_log_size(PyObject*, PyObject*);
PyObject* py_log_calls(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_log_cut(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_log_replay(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_log_times(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_log_block(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_log_again(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_log_plan(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_log_types(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_log_arrange(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_fused_services(PyObject*, PyObject*);
PyObject* py_bytes_at(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_log_owns(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_bare(PyObject*, PyObject*);

// host/products.cpp
PyObject* py_use_products(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_forget_products(PyObject*, PyObject*);
PyObject* py_cuda_product(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_cuda_matmul(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_cuda_linear(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_cuda_weight_gradient(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_cuda_affine_gradients(PyObject*, PyObject* const* args, Py_ssize_t given);

// host/pad.cpp
PyObject* py_copy(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_zero(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_new_reshape(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_new_pad(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_new_pad_backward(PyObject*, PyObject* const* args, Py_ssize_t given);

// host/digest.cpp
PyObject* py_block_sums(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_read_summed(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_write_summed(PyObject*, PyObject* const* args, Py_ssize_t given);

inline PyObject* py_num_threads(PyObject*, PyObject*) { return PyLong_FromLong(num_threads()); }

inline PyObject* py_set_num_threads(PyObject*, PyObject* argument) {
    const long count = PyLong_AsLong(argument);
    if (count == -1 && PyErr_Occurred()) return nullptr;
    if (count < 1 || count > kMaxThreads)
        return PyErr_Format(PyExc_ValueError, "the number of threads must be at least 1 and at most %d, not %ld",
                            kMaxThreads, count);
    set_num_threads((int)count);
    Py_RETURN_NONE;
}

// Lets as many threads run at once as there are cores, and forgets what `set_num_threads` asked for.
inline PyObject* py_follow_cores(PyObject*, PyObject* argument) {
    const long cores = PyLong_AsLong(argument);
    if (cores == -1 && PyErr_Occurred()) return nullptr;
    set_usable_cores(cores > kMaxThreads ? kMaxThreads : (int)cores);
    set_num_threads(0);
    Py_RETURN_NONE;
}

// The most bytes of freed memory that are kept.
inline PyObject* py_set_cache_limit(PyObject*, PyObject* argument) {
    const size_t bytes = PyLong_AsSize_t(argument);
    if (bytes == (size_t)-1 && PyErr_Occurred()) return nullptr;
    block_allocator().set_limit(bytes);
    Py_RETURN_NONE;
}

// Gives kept memory back to the system; returns how many bytes that were.
inline PyObject* py_empty_cache(PyObject*, PyObject*) {
    size_t bytes;
    {
        const WithoutLock unlocked;
        bytes = empty_cache();
    }
    return PyLong_FromSize_t(bytes);
}

#define COMMON_METHODS                                                      \
    TL_METHOD("matmul", py_matmul, "matmul(a, b, out, bias, accumulate)"), \
    TL_METHOD("new_matmul", py_new_matmul, "new_matmul(a, b)"), \
    TL_METHOD("new_linear", py_new_linear, "new_linear(x, weight, bias)"), \
    TL_METHOD("new_linear_relu", py_new_linear_relu, "new_linear_relu(x, weight, bias)"), \
    TL_METHOD("new_weight_gradient", py_new_weight_gradient, "new_weight_gradient(dy, x, into)"), \
    TL_METHOD("compiled_call", py_compiled_call, "compiled_call(callees, inputs, kernel_from, has_aux, operands_from, floats, view)"), \
    TL_METHOD("new_reshape", py_new_reshape, "new_reshape(x, shape)"), \
    TL_METHOD("use_tape", py_use_tape, "use_tape(Tensor, Node, OutputNode, next_index, Views, Plan, Size, mode, Switches)"), \
    TL_METHOD("same_objects", py_same_objects, "same_objects(a, b)"), \
    TL_METHOD("in_place", py_in_place, "in_place(watched)"), \
    TL_METHOD("forget_gradients", py_forget_gradients, "forget_gradients(parameters)"), \
    TL_METHOD("walk", py_walk, "walk(node, g, accumulate, retain_graph, overwritten, helpers, arrivals)"), \
    TL_METHOD("use_cuda", py_use_cuda, "use_cuda(ndarray, MemoryPointer, stream, current_stream, driver_error)"), \
    TL_METHOD("cuda_kernel", py_cuda_kernel, "cuda_kernel(name, doc, parameters, order, allowed, extents, launch, layout, load, fallback)"), \
    TL_METHOD("use_cuda_library", py_use_cuda_library, "use_cuda_library(kernels, xp)"), \
    TL_METHOD("cuda_empty", py_cuda_empty, "cuda_empty(shape, dtype, memptr, strides)"), \
    TL_METHOD("cuda_entry", py_cuda_entry, "cuda_entry(name, kernel, total, allowed, slots)"), \
    TL_METHOD("use_products", py_use_products, "use_products(plan, workspace, error)"), \
    TL_METHOD("cuda_product", py_cuda_product, "cuda_product(form, a, b, bias, out, accumulate)"), \
    TL_METHOD("cuda_matmul", py_cuda_matmul, "cuda_matmul(a, b)"), \
    TL_METHOD("cuda_linear", py_cuda_linear, "cuda_linear(x, weight, bias)"), \
    TL_METHOD("cuda_weight_gradient", py_cuda_weight_gradient, "cuda_weight_gradient(dy, x, into)"), \
    TL_METHOD("cuda_affine_gradients", py_cuda_affine_gradients, "cuda_affine_gradients(dy, x, weight, out, dweight, dbias)"), \
    {"forget_products", py_forget_products, METH_NOARGS, "forget_products()"}, \
    {"watch_launches", py_watch_launches, METH_O, "watch_launches(function)"}, \
    TL_METHOD("copy", py_copy, "copy(to, from)"), \
    TL_METHOD("zero", py_zero, "zero(to)"), \
    TL_METHOD("new_pad", py_new_pad, "new_pad(x, widths, how)"), \
    {"use_allocator", py_use_allocator, METH_NOARGS, "use_allocator()"}, \
    {"log_open", py_log_open, METH_NOARGS, "log_open()"}, \
    {"log_enter", py_log_enter, METH_O, "log_enter(log)"}, \
    {"log_size", py_log_size, METH_O, "log_size(log)"}, \
    TL_METHOD("log_calls", py_log_calls, "log_calls(log, first, last)"), \
    TL_METHOD("log_cut", py_log_cut, "log_cut(log, calls)"), \
    TL_METHOD("log_replay", py_log_replay, "log_replay(log, first, last)"), \
    TL_METHOD("log_times", py_log_times, "log_times(log, first, last): replay; ns when each began, and the end"), \
    TL_METHOD("log_types", py_log_types, "log_types(log, i): the types of a call's arrays"), \
    TL_METHOD("log_arrange", py_log_arrange, "log_arrange(log, calls): numbers of calls, and fused ones"), \
    {"fused_services", py_fused_services, METH_NOARGS, "what generated kernels call"}, \
    TL_METHOD("log_block", py_log_block, "log_block(log, i)"), \
    TL_METHOD("log_again", py_log_again, "log_again(log, i)"), \
    TL_METHOD("log_plan", py_log_plan, "log_plan(log, movable, left_out, nodes)"), \
    TL_METHOD("block_sums", py_block_sums, "block_sums(memory, sums)"), \
    TL_METHOD("read_summed", py_read_summed, "read_summed(file, at, memory, sums)"), \
    TL_METHOD("write_summed", py_write_summed, "write_summed(file, memory, sums)"), \
    TL_METHOD("bytes_at", py_bytes_at, "bytes_at(address, size)"), \
    TL_METHOD("log_owns", py_log_owns, "log_owns(log, array)"), \
    {"bare", py_bare, METH_O, "bare(array)"}, \
    TL_METHOD("new_pad_backward", py_new_pad_backward, "new_pad_backward(d, widths, mode)"), \
    {"get_num_threads", py_num_threads, METH_NOARGS, "get_num_threads()"}, \
    {"set_num_threads", py_set_num_threads, METH_O, "set_num_threads(count)"}, \
    {"follow_cores", py_follow_cores, METH_O, "follow_cores(cores)"}, \
    {"set_cache_limit", py_set_cache_limit, METH_O, "set_cache_limit(bytes)"}, \
    {"empty_cache", py_empty_cache, METH_NOARGS, "empty_cache()"}

// A new block, which an open log keeps.
inline void* kept_for_log(void* block) {
    if (!block || !recording() || open_log()->keep(block)) return block;
    block_allocator().release(block);
    return nullptr;
}

// Makes NumPy allocate through our allocator in this context; arrays remember who made them.
inline bool install_allocator() {
    static PyDataMem_Handler handler = {
        "tensorlite_blocks", 1,
        {nullptr,
         [](void*, size_t size) { return kept_for_log(block_allocator().allocate(size, false)); },
         [](void*, size_t count, size_t each) {
             const bool overflow = each && count > SIZE_MAX / each;
             return overflow ? nullptr : kept_for_log(block_allocator().allocate(count * each, true));
         },
         [](void*, void* data, size_t size) {
             void* moved = block_allocator().resize(data, size);
             return moved == data ? moved : kept_for_log(moved);
         },
         [](void*, void* data, size_t) { block_allocator().release(data); }}};
    PyObject* capsule = PyCapsule_New(&handler, "mem_handler", nullptr);
    PyObject* previous = capsule ? PyDataMem_SetHandler(capsule) : nullptr;
    Py_XDECREF(capsule);
    Py_XDECREF(previous);
    return previous != nullptr;
}

// use_allocator(): in this thread, too; NumPy has an allocator for each context.
inline PyObject* py_use_allocator(PyObject*, PyObject*) {
    return install_allocator() ? Py_NewRef(Py_None) : nullptr;
}

inline PyObject* create_module(PyModuleDef* definition) {
    import_array();
    prepare_to_throw();
    return Ending::listen() && install_allocator() ? PyModule_Create(definition) : nullptr;
}

}  // namespace tl
