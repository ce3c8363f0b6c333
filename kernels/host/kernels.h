// The host's kernels by their names, and their calls from Python; see host/kernel.h.
#pragma once

#include "host/kernel.h"
#include "host/numpy.h"

namespace tl {

// name(…) with what the declaration lists; a new reference, or null where an error is pending.
PyObject* run_kernel(const HostKernel& kernel, PyObject* const* args, Py_ssize_t given);

// Makes what a unit has functions of the module, which is the only one. False where an error is pending.
bool add_unit(PyObject* module, const Unit& unit);

// The same of a shared object that was compiled by itself.
bool load_unit(PyObject* module, const char* path);

// A kernel, and its version for a type, for functions that call several; null where an error is pending.
const HostKernel* host_kernel(const char* name);
Body host_body(const char* name, Type type);

}  // namespace tl
