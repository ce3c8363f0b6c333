// The border between Python and C++: Python's lock is given up and taken again here, no exception passes
// into Python, and threads that Python ends at its own end drop nothing.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <pthread.h>
#include <unistd.h>

#include "host/memory.h"

namespace tl {

// Python's end. It ends other threads by unwinding their stacks where they ask for its lock: the
// references that are dropped on the way would be dropped without that lock.
class TL_SHARED Ending {
    static inline volatile bool begun_ = false;
    static inline pthread_t main_{};

  public:
    // Whether this thread must not touch Python's objects any more. What it holds stays.
    static bool is_over() { return __builtin_expect(begun_, 0) && !pthread_equal(main_, pthread_self()); }

    static PyObject* begin(PyObject*, PyObject*) {
        main_ = pthread_self();
        begun_ = true;
        Py_RETURN_NONE;
    }

    // Lets Python tell of it, before it ends threads.
    static bool listen() {
        static PyMethodDef definition = {"begin_ending", begin, METH_NOARGS, "begin_ending()"};
        PyObject* atexit = PyImport_ImportModule("atexit");
        PyObject* function = atexit ? PyCFunction_New(&definition, nullptr) : nullptr;
        PyObject* done = function ? PyObject_CallMethod(atexit, "register", "O", function) : nullptr;
        Py_XDECREF(done);
        Py_XDECREF(function);
        Py_XDECREF(atexit);
        return done != nullptr;
    }
};

// Waits for the process to end: what Python 3.14 does with a thread that comes too late, and earlier
// versions do by unwinding its stack.
[[noreturn]] inline void wait_for_the_end() {
    while (true) pause();
}

inline void take_lock(PyThreadState* state) {
    try {
        PyEval_RestoreThread(state);
    } catch (...) {
        wait_for_the_end();
    }
}

inline PyThreadState* give_up_lock() {
    prepare_to_throw();
    return PyEval_SaveThread();
}

// Gives up Python's lock for as long as it lives.
class WithoutLock {
    PyThreadState* state_ = nullptr;

  public:
    // Giving it up costs more than little work takes.
    explicit WithoutLock(bool worth_it = true) {
        if (worth_it) state_ = give_up_lock();
    }
    WithoutLock(const WithoutLock&) = delete;
    ~WithoutLock() {
        if (state_) take_lock(state_);
    }
};

inline PyObject* no_memory(size_t bytes) {
    if (!bytes || bytes == SIZE_MAX)
        return PyErr_Format(PyExc_MemoryError, "Unable to allocate the memory to compute in%s",
                            bytes ? ": its size is beyond all bounds" : "");
    const char* const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB"};
    int unit = 0;
    size_t tenths = bytes * 10;
    for (; unit < 5 && tenths >= 10240; ++unit) tenths /= 1024;
    return PyErr_Format(PyExc_MemoryError, "Unable to allocate %zu.%zu %s to compute in (%zu bytes)",
                        tenths / 10, tenths % 10, units[unit], bytes);
}

using Function = PyObject* (*)(PyObject*, PyObject* const*, Py_ssize_t);

// A function of the module, from which no exception comes.
template <Function function>
PyObject* guarded(PyObject* self, PyObject* const* args, Py_ssize_t given) {
    try {
        return function(self, args, given);
    } catch (const NoMemory& error) {
        return no_memory(error.bytes);
    } catch (const std::bad_alloc&) {
        return no_memory(0);
    }
}

}  // namespace tl

// An entry of a module's table of methods.
#define TL_METHOD(name, function, text) \
    {name, (PyCFunction)(void (*)(void))guarded<function>, METH_FASTCALL, text}
