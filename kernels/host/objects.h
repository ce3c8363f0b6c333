// Python's objects in C++: owned references, attributes by name, calls.
#pragma once

#include <utility>

#include "host/guard.h"

namespace tl {

// An owned reference; null where a Python error is pending.
class Ref {
    PyObject* object_ = nullptr;

  public:
    Ref() = default;
    explicit Ref(PyObject* owned) : object_(owned) {}
    Ref(Ref&& other) : object_(other.object_) { other.object_ = nullptr; }
    Ref& operator=(Ref&& other) {
        std::swap(object_, other.object_);
        return *this;
    }
    ~Ref() {
        if (!Ending::is_over()) Py_XDECREF(object_);
    }
    static Ref to(PyObject* borrowed) { return Ref(Py_XNewRef(borrowed)); }
    operator PyObject*() const { return object_; }
    PyObject* release() { return std::exchange(object_, nullptr); }
    bool is_none() const { return object_ == Py_None; }
};

// A name as Python's string, made once, and the attribute of an object under it.
#define TL_NAME(name)                                                              \
    ([] {                                                                          \
        static PyObject* const interned = PyUnicode_InternFromString(#name);       \
        return interned;                                                           \
    }())
#define TL_GET(object, name) Ref(PyObject_GetAttr(object, TL_NAME(name)))

// The macros of CPython, for what is a tuple or a list.
inline PyObject* item(PyObject* tuple, Py_ssize_t i) { return PySequence_Fast_GET_ITEM(tuple, i); }
inline Py_ssize_t length(PyObject* tuple) { return PySequence_Fast_GET_SIZE(tuple); }

template <typename... Arguments>
Ref call(PyObject* function, const Arguments&... arguments) {
    PyObject* passed[] = {(PyObject*)arguments...};
    return Ref(PyObject_Vectorcall(function, passed, sizeof...(arguments), nullptr));
}

}  // namespace tl
