// The functions of the extension beside its kernels.
#pragma once

#include "host/allocator.h"
#include "host/copy.h"
#include "host/entry.h"
#include "host/kernels.h"
#include "host/numpy.h"
#include "host/record.h"
#include "types.h"

namespace tl {

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
PyObject* py_cuda_entry(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_cuda_empty(PyObject*, PyObject* const* args, Py_ssize_t given);

// host/record.cpp
PyObject* py_log_open(PyObject*, PyObject*);
PyObject* py_log_enter(PyObject*, PyObject*);
PyObject* py_log_size(PyObject*, PyObject*);
PyObject* py_log_calls(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_log_cut(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_log_replay(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_log_times(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_log_block(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_log_spend(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_log_again(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_bytes_at(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_log_hand_out(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_log_place(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_log_owns(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_bare(PyObject*, PyObject*);

// host/moves.cpp, tape.cpp
PyObject* py_copy(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_zero(PyObject*, PyObject* const* args, Py_ssize_t given);
PyObject* py_new_reshape(PyObject*, PyObject* const* args, Py_ssize_t given);

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
    TL_METHOD("use_cuda", py_use_cuda, "use_cuda(ndarray, MemoryPointer, stream, current_stream, driver_error, allocator, usual, samples)"), \
    TL_METHOD("use_cuda_library", py_use_cuda_library, "use_cuda_library(kernels, xp)"), \
    TL_METHOD("cuda_empty", py_cuda_empty, "cuda_empty(shape, dtype, memptr, strides)"), \
    TL_METHOD("cuda_entry", py_cuda_entry, "cuda_entry(name, kernel, total, allowed, slots)"), \
    TL_METHOD("copy", py_copy, "copy(to, from)"), \
    TL_METHOD("zero", py_zero, "zero(to)"), \
    {"use_allocator", py_use_allocator, METH_NOARGS, "use_allocator()"}, \
    {"log_open", py_log_open, METH_NOARGS, "log_open()"}, \
    {"log_enter", py_log_enter, METH_O, "log_enter(log)"}, \
    {"log_size", py_log_size, METH_O, "log_size(log)"}, \
    TL_METHOD("log_calls", py_log_calls, "log_calls(log, first, last)"), \
    TL_METHOD("log_cut", py_log_cut, "log_cut(log, calls)"), \
    TL_METHOD("log_replay", py_log_replay, "log_replay(log, first, last)"), \
    TL_METHOD("log_times", py_log_times, "log_times(log, first, last): replay; ns when each began, and the end"), \
    TL_METHOD("log_block", py_log_block, "log_block(log, i)"), \
    TL_METHOD("log_spend", py_log_spend, "log_spend(log, first, last)"), \
    TL_METHOD("log_again", py_log_again, "log_again(log, i)"), \
    TL_METHOD("block_sums", py_block_sums, "block_sums(memory, sums)"), \
    TL_METHOD("read_summed", py_read_summed, "read_summed(file, at, memory, sums)"), \
    TL_METHOD("write_summed", py_write_summed, "write_summed(file, memory, sums)"), \
    TL_METHOD("bytes_at", py_bytes_at, "bytes_at(address, size)"), \
    TL_METHOD("log_hand_out", py_log_hand_out, "log_hand_out(log, blocks)"), \
    TL_METHOD("log_place", py_log_place, "log_place(log, arrays)"), \
    TL_METHOD("log_owns", py_log_owns, "log_owns(log, array)"), \
    {"bare", py_bare, METH_O, "bare(array)"}, \
    {"load_unit", py_load_unit, METH_O, "load_unit(path): adds what is compiled by itself"}, \
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

// load_unit(path): see host/kernels.h.
inline PyObject* py_load_unit(PyObject* module, PyObject* path) {
    const char* name = PyUnicode_AsUTF8(path);
    return name && load_unit(module, name) ? Py_NewRef(Py_None) : nullptr;
}

inline PyObject* create_module(PyModuleDef* definition, const Unit& unit) {
    import_array();
    prepare_to_throw();
    if (!Ending::listen() || !install_allocator()) return nullptr;
    PyObject* module = PyModule_Create(definition);
    return module && add_unit(module, unit) ? module : nullptr;
}

}  // namespace tl
