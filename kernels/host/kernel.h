// What a family says about its kernels: tables written from their declarations
// (tensorlite/backend/kernels/bindings.py). host/kernel.cpp makes the calls; a family is compiled
// without Python and NumPy.
#pragma once

#include "types.h"

struct PyMethodDef;

namespace tl {

enum Type : signed char { ANY, F32, F64, F16, BF16, I64, I32, U32, BOOL, U8 };

inline bool is_short(Type type) { return type == F16 || type == BF16; }

enum Access : unsigned char { READ = 0, WRITE = 1, OPTIONAL_ARRAY = 2, DENSE_ROWS = 4 };

// What a recording's plan may do with a call.
enum Traits : unsigned {
    kOverwrites = 1,  // its output may lie where an input of the same size was
    kCheap = 2,       // it reads its inputs only, and is done again sooner than its result is kept
    kWholeCopy = 4,   // it copies bytes that lie side by side
    kZeroes = 8,      // it fills an array with zeros
};

// A number of a call.
union Number {
    double real;
    Index integer;
    uint64_t bits;
};

// One instantiation of a kernel: its arrays in the order of the declaration, its numbers, and for
// each array of heads four more: its strides, and how many heads there are.
using Body = void (*)(void* const* at, const Number* numbers);

struct HostInstance {
    Type types[2];  // what the type parameters stand for
    Body body;
};

struct HostParameter {
    const char* name;
    // 'a': an array, 'h': an array of heads; a number: 'd' real, 'q' integer, 'i' one of 32 bits,
    // 'b' a truth, 'Q' bits
    char kind;
    unsigned char access;
    signed char choice;  // of an array, the number of its type parameter, or -1
    bool wide;           // an array of what that is computed in
    Type type;           // of an array whose type is fixed
    const int* count;    // its number of elements, of heads four of them; see host/count.h
};

// One parameter in the call that makes the outputs itself; host/entry.h says what the numbers mean.
struct HostSlot {
    int role, type;
    bool wide;
    int form, of;
    const int* count;
};

struct HostKernel {
    const char *name, *signature;
    const HostParameter* parameters;
    int parameter_count;
    const HostInstance* instances;
    int instance_count;
    unsigned widened;  // type parameters, a bit each, in whose place floats are put for 16-bit floats
    int mapped;        // how many arrays it has, if all it does is to map them to the last; or 0
    unsigned traits;
    const char* makes_outputs;  // what the call that does so is for; null if there is none
    unsigned allowed;           // types of its first array, a bit each
    const HostSlot* slots;
};

struct HostFamily {
    const HostKernel* kernels;
    int count;
};

// What a shared object adds to the extension: families, and further functions of Python.
struct Unit {
    const HostFamily* const* families;  // null ends them
    PyMethodDef* const* const* methods;
};

template <typename H>
inline H heads(void* data, const Number* strides) {
    return {(decltype(H::data))data, strides[0].integer, strides[1].integer, strides[2].integer,
            strides[3].integer};
}

}  // namespace tl
