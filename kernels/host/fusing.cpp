// Putting generated kernels in the place of calls of a log; tensorlite/recording/fusing.py says which.
#define NO_IMPORT_ARRAY  // module.h does it

#include "memory.h"
#include "objects.h"
#include "record.h"
#include "services.h"

namespace tl {
namespace {

// A generated kernel's call, from (name, address of the function, arrays, numbers, sizes), where an
// array is (address, bytes, whether it is written).
bool read(PyObject* made, Log::Entry& entry) {
    const char* name;
    unsigned long long function;
    PyObject *arrays, *reals, *integers;
    if (!PyArg_ParseTuple(made, "sKO!O!O!", &name, &function, &PyList_Type, &arrays, &PyList_Type,
                          &reals, &PyList_Type, &integers))
        return false;
    // Python keeps one string of each name for good.
    PyObject* const interned = PyUnicode_InternFromString(name);
    if (!interned) return false;
    entry.name = PyUnicode_AsUTF8(interned);
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(arrays); ++i) {
        unsigned long long address;
        Py_ssize_t bytes;
        int written;
        if (!PyArg_ParseTuple(PyList_GET_ITEM(arrays, i), "Knp", &address, &bytes, &written)) return false;
        entry.operands.push_back({(void*)address, 0, bytes, bool(written)});
        entry.arrays.push_back((void*)address);
    }
    std::vector<double> numbers;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(reals); ++i)
        numbers.push_back(PyFloat_AsDouble(PyList_GET_ITEM(reals, i)));
    std::vector<Index> sizes;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(integers); ++i)
        sizes.push_back(PyLong_AsLongLong(PyList_GET_ITEM(integers, i)));
    if (PyErr_Occurred()) return false;
    for (const double number : numbers) entry.scalars.push_back(number);
    const auto run = (Fused)function;
    entry.run = [run, numbers, sizes](void* const* at) { run(at, numbers.data(), sizes.data()); };
    return true;
}

}  // namespace

// The types of the arrays of call i, as letters; a question mark where one is not known.
PyObject* py_log_types(PyObject*, PyObject* const* args, Py_ssize_t given) {
    if (given != 2) return PyErr_Format(PyExc_TypeError, "log_types(log, i) takes 2 arguments");
    Log* log = (Log*)PyCapsule_GetPointer(args[0], kLogName);
    const size_t i = PyLong_AsSize_t(args[1]);
    if (!log || PyErr_Occurred()) return nullptr;
    if (i >= log->entries.size()) return PyErr_Format(PyExc_IndexError, "no call %zu", i);
    List<char> found;
    for (const Operand& each : log->entries[i].operands) found.push_back(each.type ? each.type : '?');
    return PyUnicode_FromStringAndSize(found.data(), Py_ssize_t(found.size()));
}

// Makes the log one of these calls: numbers of those that it has, each at most once, and new ones.
PyObject* py_log_arrange(PyObject*, PyObject* const* args, Py_ssize_t given) {
    if (given != 2 || !PyList_Check(args[1]))
        return PyErr_Format(PyExc_TypeError, "log_arrange(log, calls) takes a log and a list");
    Log* log = (Log*)PyCapsule_GetPointer(args[0], kLogName);
    if (!log) return nullptr;
    std::vector<Log::Entry> made(size_t(PyList_GET_SIZE(args[1])));
    std::vector<bool> taken(log->entries.size());
    for (size_t i = 0; i < made.size(); ++i) {
        PyObject* item = PyList_GET_ITEM(args[1], i);
        if (!PyLong_Check(item)) {
            if (!read(item, made[i])) return nullptr;
            continue;
        }
        const size_t old = PyLong_AsSize_t(item);
        if (PyErr_Occurred()) return nullptr;
        if (old >= taken.size() || taken[old])
            return PyErr_Format(PyExc_ValueError, "log_arrange: call %zu is not there, or twice", old);
        taken[old] = true;
    }
    for (size_t i = 0; i < made.size(); ++i) {
        PyObject* item = PyList_GET_ITEM(args[1], i);
        if (PyLong_Check(item)) made[i] = std::move(log->entries[PyLong_AsSize_t(item)]);
    }
    log->entries = std::move(made);
    Py_RETURN_NONE;
}

// log_redirect(log, low, high, to): what calls have in the memory from `low` to `high` is at `to` instead.
PyObject* py_log_redirect(PyObject*, PyObject* const* args, Py_ssize_t given) {
    if (given != 4) return PyErr_Format(PyExc_TypeError, "log_redirect(log, low, high, to) takes 4 arguments");
    Log* log = (Log*)PyCapsule_GetPointer(args[0], kLogName);
    char *low = (char*)PyLong_AsVoidPtr(args[1]), *high = (char*)PyLong_AsVoidPtr(args[2]),
         *to = (char*)PyLong_AsVoidPtr(args[3]);
    if (!log || PyErr_Occurred()) return nullptr;
    for (Log::Entry& entry : log->entries)
        for (size_t j = 0; j < entry.operands.size(); ++j) {
            char* data = (char*)entry.operands[j].data;
            if (!data || data < low || data >= high) continue;
            entry.operands[j].data = entry.arrays[j] = to + (data - low);
        }
    Py_RETURN_NONE;
}

// log_copy(log): a log of the same calls, which may be planned while this one, which keeps the blocks of
// both, stays as it is.
PyObject* py_log_copy(PyObject*, PyObject* const* args, Py_ssize_t given) {
    if (given != 1) return PyErr_Format(PyExc_TypeError, "log_copy(log) takes 1 argument");
    const Log* log = (Log*)PyCapsule_GetPointer(args[0], kLogName);
    if (!log) return nullptr;
    auto* made = new Log;
    Ref copy(in_capsule(made));
    if (!copy) return delete made, nullptr;
    made->borrows = true;
    made->entries = log->entries;
    made->blocks = log->blocks;
    made->sizes = log->sizes;
    return copy.release();
}

PyObject* py_fused_services(PyObject*, PyObject*) {
    static const Services services = {run_blocks, run_range, take_scratch, give_back_scratch};
    return PyLong_FromVoidPtr((void*)&services);
}

static PyMethodDef table_of_fusing[] = {
    TL_METHOD("log_types", py_log_types, "log_types(log, i): the types of a call's arrays"),
    TL_METHOD("log_arrange", py_log_arrange, "log_arrange(log, calls): numbers of calls, and fused ones"),
    TL_METHOD("log_redirect", py_log_redirect, "log_redirect(log, low, high, to)"),
    TL_METHOD("log_copy", py_log_copy, "log_copy(log): a log of the same calls, to be planned"),
    {"fused_services", py_fused_services, METH_NOARGS, "what generated kernels call"},
    {nullptr, nullptr, 0, nullptr},
};
extern PyMethodDef* const fusing_methods;
PyMethodDef* const fusing_methods = table_of_fusing;

}  // namespace tl
