// new_NAME(inputs, scalars): the whole call of a kernel whose declaration says what its outputs are. It
// closes gaps, makes the outputs, works out the lengths, runs the kernel and returns what it made;
// NotImplemented where the arrays are not what the kernel is for. One for NumPy's arrays and CuPy's.
#pragma once

#include "host/cuda.h"
#include "host/declaration.h"
#include "host/kernels.h"

namespace tl {

// One parameter of a kernel, as tensorlite/backend/kernels/entry.py tells it (`Slot` there).
struct EntrySlot {
    enum Role { kInput, kOptional, kLike, kPerRow, kSums, kLength, kGiven };
    // How a length follows from the first array.
    enum Length { kSize, kLeading, kLast, kFirst, kSecond, kRest, kParts };
    // The shape of an input: the first array's, one axis, the first's with 1 as the last axis, no axes.
    enum Form { kAnyhow, kAlike, kAxis, kEachRow, kNumber };

    int role;
    int type;    // of an array: its Type; ANY if it is the first array's, or what that is summed in
    bool wide;   // the latter
    int form;    // of an input: a `Form`
    int of;      // of an output: the parameter whose shape it takes; of a length: a `Length`
    Expression count;
};

class Entry {
    const char* name_;
    const HostKernel* kernel_ = nullptr;  // on the host, or
    PyObject* callable_ = nullptr;        // on CUDA
    PyObject* total_callable_ = nullptr;  // there, `column_total`, which ends the sums
    unsigned allowed_;     // types that T may be, a bit each
    std::vector<EntrySlot> slots_;
    int first_ = -1;                // the first array of type T
    int outputs_ = 0, sums_ = 0;    // how many, and how many of them are sums
    size_t given_ = 0;

  public:
    Entry(const HostKernel& kernel, std::vector<EntrySlot> slots)
        : Entry(kernel.name, kernel.allowed, std::move(slots)) {
        kernel_ = &kernel;
    }
    Entry(const char* name, PyObject* callable, PyObject* total, unsigned allowed,
          std::vector<EntrySlot> slots)
        : Entry(name, allowed, std::move(slots)) {
        callable_ = callable, total_callable_ = total;
    }

    PyObject* run(PyObject* const* args, Py_ssize_t given) const;

  private:
    Entry(const char* name, unsigned allowed, std::vector<EntrySlot> slots);
    struct Making;
    bool understand(PyObject* const* args, Making& making) const;
    bool fits(PyObject* array, const EntrySlot& slot, const Making& making) const;
    bool make(PyObject* const* args, Making& making) const;
    Ref finish(Making& making) const;
};

}  // namespace tl
