// NumPy's C interface, shared by the files that use it, and the types of elements.
#pragma once

#include "host/objects.h"
#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#define NPY_TARGET_VERSION NPY_2_0_API_VERSION  // else NumPy 2.2 hides what is newer than 1.20
#define PY_ARRAY_UNIQUE_SYMBOL tensorlite_numpy
#define NPY_API_SYMBOL_ATTRIBUTE TL_SHARED
#include <numpy/arrayobject.h>

#include <cstring>

#include "host/kernel.h"

namespace tl {

inline const char* type_name(Type type) {
    static const char* const names[] = {"a float type", "float32", "float64", "float16", "bfloat16",
                                        "int64",        "int32",   "uint32",  "bool",    "uint8"};
    return names[type];
}

// What is neither float32 nor float64.
inline Type other_type_of(PyArray_Descr* dtype) {
    static int bfloat16 = -1;  // a type registered at run time, by ml_dtypes
    const int number = dtype->type_num;
    switch (number) {
        case NPY_HALF: return F16;
        case NPY_LONG:
        case NPY_LONGLONG: return sizeof(long) == 8 || number == NPY_LONGLONG ? I64 : I32;
        case NPY_INT: return I32;
        case NPY_UINT: return U32;
        case NPY_BOOL: return BOOL;
        case NPY_UBYTE: return U8;
    }
    if (number == bfloat16) return BF16;
    const char* name = dtype->typeobj->tp_name;  // before ml_dtypes 0.5.1 it has no dot
    const char* dot = strrchr(name, '.');
    if (!PyTypeNum_ISUSERDEF(number) || strcmp(dot ? dot + 1 : name, "bfloat16")) return ANY;
    bfloat16 = number;
    return BF16;
}

inline Type type_of(PyArray_Descr* dtype) {
    const int number = dtype->type_num;
    return number == NPY_FLOAT ? F32 : number == NPY_DOUBLE ? F64 : other_type_of(dtype);
}

inline Type type_of(PyArrayObject* array) { return type_of(PyArray_DESCR(array)); }

}  // namespace tl
