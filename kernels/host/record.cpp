// Logs of calls as Python has them, in capsules; see record.h. host/plan.cpp plans its memory.
#define NO_IMPORT_ARRAY  // module.h does it

#include "record.h"

#include <algorithm>
#include <chrono>

#include "objects.h"

namespace tl {
namespace {

Log* log_of(PyObject* capsule) { return (Log*)PyCapsule_GetPointer(capsule, kLogName); }

// Reads a log and whole numbers; null if they are not that.
Log* read(PyObject* const* args, Py_ssize_t given, Py_ssize_t wanted, size_t* numbers) {
    if (given != wanted) return PyErr_Format(PyExc_TypeError, "takes %zd arguments", wanted), nullptr;
    for (Py_ssize_t i = 1; i < wanted; ++i) {
        numbers[i - 1] = PyLong_AsSize_t(args[i]);
        if (PyErr_Occurred()) return nullptr;
    }
    return log_of(args[0]);
}

// A call as Python sees it: its name, its arrays, its numbers, and whether it is dead.
Ref described(const Log::Entry& entry) {
    Ref arrays(PyList_New(0)), scalars(PyList_New(0));
    for (size_t j = 0; arrays && j < entry.operands.size(); ++j) {
        const Operand& each = entry.operands[j];
        const Ref one(Py_BuildValue("KnO", (unsigned long long)((char*)entry.arrays[j] + each.low),
                                    (Py_ssize_t)(each.data ? each.high - each.low : 0),
                                    each.written ? Py_True : Py_False));
        if (!one || PyList_Append(arrays, one)) return Ref();
    }
    for (const Scalar& each : entry.scalars) {
        double real;
        std::memcpy(&real, &each.bits, 8);
        const Ref one(each.kind == 'd'   ? PyFloat_FromDouble(real)
                      : each.kind == 'q' ? PyLong_FromLongLong((long long)each.bits)
                                         : PyLong_FromUnsignedLongLong(each.bits));
        if (!one || !scalars || PyList_Append(scalars, one)) return Ref();
    }
    return Ref(Py_BuildValue("sOOO", entry.name, (PyObject*)arrays, (PyObject*)scalars,
                             entry.dead ? Py_True : Py_False));
}

// A list of calls.
PyObject* listed(const Log::Entry* first, const Log::Entry* last) {
    Ref calls(PyList_New(0));
    for (; calls && first < last; ++first) {
        const Ref call = described(*first);
        if (!call || PyList_Append(calls, call)) return nullptr;
    }
    return calls.release();
}

}  // namespace

PyObject* py_log_open(PyObject*, PyObject*) {
    return in_capsule(new (std::nothrow) Log);
}

PyObject* py_log_enter(PyObject*, PyObject* capsule) {
    Log* log = capsule == Py_None ? nullptr : log_of(capsule);
    if (!log && capsule != Py_None) return nullptr;
    open_log() = log;
    Py_RETURN_NONE;
}

PyObject* py_log_size(PyObject*, PyObject* capsule) {
    Log* log = log_of(capsule);
    return log ? Py_BuildValue("nn", log->entries.size(), log->blocks.size()) : nullptr;
}

PyObject* py_log_calls(PyObject*, PyObject* const* args, Py_ssize_t given) {
    size_t range[2];
    Log* log = read(args, given, 3, range);
    if (!log) return nullptr;
    const size_t last = std::min(range[1], log->entries.size());
    return listed(log->entries.data() + std::min(range[0], last), log->entries.data() + last);
}

// The calls that are done again before call `i`, to have back what was given up.
PyObject* py_log_again(PyObject*, PyObject* const* args, Py_ssize_t given) {
    size_t i;
    Log* log = read(args, given, 2, &i);
    if (!log) return nullptr;
    if (i >= log->entries.size()) return PyErr_Format(PyExc_IndexError, "no call %zu", i);
    const auto& again = log->entries[i].again;
    return listed(again.data(), again.data() + again.size());
}

PyObject* py_log_cut(PyObject*, PyObject* const* args, Py_ssize_t given) {
    size_t count;
    Log* log = read(args, given, 2, &count);
    if (!log) return nullptr;
    if (count < log->entries.size()) log->entries.erase(log->entries.begin() + count, log->entries.end());
    Py_RETURN_NONE;
}

PyObject* py_log_replay(PyObject*, PyObject* const* args, Py_ssize_t given) {
    size_t range[2];
    Log* log = read(args, given, 3, range);
    if (!log) return nullptr;
    const size_t last = std::min(range[1], log->entries.size());
    {
        const WithoutLock unlocked;
        log->replay(range[0], last);
    }
    Py_RETURN_NONE;
}

// The nanoseconds from the start until each call that is not dead begins, and until the last has ended, as
// bytes of 64-bit numbers.
PyObject* py_log_times(PyObject*, PyObject* const* args, Py_ssize_t given) {
    size_t range[2];
    Log* log = read(args, given, 3, range);
    if (!log) return nullptr;
    const size_t last = std::min(range[1], log->entries.size());
    std::vector<int64_t> times;
    times.reserve(last + 1);
    {
        using Clock = std::chrono::steady_clock;
        const WithoutLock unlocked;
        const auto start = Clock::now();
        const auto passed = [&] {
            return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start).count();
        };
        for (size_t i = range[0]; i < last; ++i) {
            if (log->entries[i].dead) continue;
            for (const Log::Entry& each : log->entries[i].again) times.push_back(passed()), each.replay();
            times.push_back(passed());
            log->entries[i].replay_alone();
        }
        times.push_back(passed());
    }
    return PyBytes_FromStringAndSize((const char*)times.data(), times.size() * sizeof(int64_t));
}

PyObject* py_log_block(PyObject*, PyObject* const* args, Py_ssize_t given) {
    size_t i;
    Log* log = read(args, given, 2, &i);
    if (!log) return nullptr;
    if (i >= log->blocks.size()) return PyErr_Format(PyExc_IndexError, "no block %zu", i);
    void* block = log->blocks[i];
    if (!block) Py_RETURN_NONE;
    return Py_BuildValue("KnO", (unsigned long long)block, (Py_ssize_t)block_allocator().capacity(block),
                         block_allocator().is_released(block) ? Py_True : Py_False);
}

// log_spend(log, first, last): what these blocks hold is not wanted once they are released.
PyObject* py_log_spend(PyObject*, PyObject* const* args, Py_ssize_t given) {
    size_t range[2];
    Log* log = read(args, given, 3, range);
    if (!log) return nullptr;
    for (size_t i = range[0]; i < std::min(range[1], log->blocks.size()); ++i)
        if (log->blocks[i]) block_allocator().spend(log->blocks[i]);
    Py_RETURN_NONE;
}

// log_hand_out(log, blocks): these blocks, which are released, are not the log's any more: `log_place` says
// before each replay what lies in their place. Nothing is added to the log after that.
PyObject* py_log_hand_out(PyObject*, PyObject* const* args, Py_ssize_t given) {
    if (given != 2 || !PyList_Check(args[1]))
        return PyErr_Format(PyExc_TypeError, "log_hand_out(log, blocks) takes a log and a list");
    Log* log = log_of(args[0]);
    if (!log) return nullptr;
    std::vector<std::vector<Log::Place>> handed;
    std::vector<size_t> numbers;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(args[1]); ++i) {
        const size_t number = PyLong_AsSize_t(PyList_GET_ITEM(args[1], i));
        if (PyErr_Occurred()) return nullptr;
        char* block = number < log->blocks.size() ? (char*)log->blocks[number] : nullptr;
        if (!block || !block_allocator().is_released(block))
            return PyErr_Format(PyExc_ValueError, "block %zu is not there, or in use", number);
        std::vector<Log::Place> places;
        const auto find = [&](Log::Entry& entry) {
            for (void*& array : entry.arrays) {
                const size_t offset = (char*)array - block;
                if (array && offset < block_allocator().capacity(block)) places.push_back({&array, offset});
            }
        };
        for (Log::Entry& entry : log->entries) {
            find(entry);
            std::for_each(entry.again.begin(), entry.again.end(), find);
        }
        handed.push_back(std::move(places));
        numbers.push_back(number);
    }
    log->handed = std::move(handed);
    for (const size_t number : numbers) {
        void* block = std::exchange(log->blocks[number], nullptr);
        if (!log->borrows) block_allocator().let_go(block);
    }
    Py_RETURN_NONE;
}

// log_place(log, arrays): what lies in the place of the blocks that were handed out.
PyObject* py_log_place(PyObject*, PyObject* const* args, Py_ssize_t given) {
    if (given != 2 || !PyList_Check(args[1]))
        return PyErr_Format(PyExc_TypeError, "log_place(log, arrays) takes a log and a list");
    Log* log = log_of(args[0]);
    if (!log) return nullptr;
    if (size_t(PyList_GET_SIZE(args[1])) != log->handed.size())
        return PyErr_Format(PyExc_ValueError, "log_place: %zu blocks were handed out", log->handed.size());
    for (size_t i = 0; i < log->handed.size(); ++i) {
        PyObject* array = PyList_GET_ITEM(args[1], i);
        if (!PyArray_Check(array)) return PyErr_Format(PyExc_TypeError, "log_place takes NumPy arrays");
        char* data = (char*)PyArray_DATA((PyArrayObject*)array);
        for (const Log::Place& place : log->handed[i]) *place.at = data + place.offset;
    }
    Py_RETURN_NONE;
}

// log_owns(log, array): whether an array lies in memory that was allocated for the log.
PyObject* py_log_owns(PyObject*, PyObject* const* args, Py_ssize_t given) {
    if (given != 2 || !PyArray_Check(args[1]))
        return PyErr_Format(PyExc_TypeError, "log_owns(log, array) takes a log and an array");
    Log* log = log_of(args[0]);
    return log ? PyBool_FromLong(log->owns(PyArray_DATA((PyArrayObject*)args[1]))) : nullptr;
}

// bytes_at(address, size): memory as an array of bytes.
PyObject* py_bytes_at(PyObject*, PyObject* const* args, Py_ssize_t given) {
    if (given != 2) return PyErr_Format(PyExc_TypeError, "bytes_at(address, size) takes 2 arguments");
    void* data = PyLong_AsVoidPtr(args[0]);
    npy_intp size = PyLong_AsSsize_t(args[1]);
    if (PyErr_Occurred()) return nullptr;
    return PyArray_SimpleNewFromData(1, &size, NPY_UBYTE, data);
}

// bare(array): an array in the same memory, which refers to nothing and may be written to.
PyObject* py_bare(PyObject*, PyObject* object) {
    if (!PyArray_Check(object)) return PyErr_Format(PyExc_TypeError, "bare(array) takes a NumPy array");
    auto* array = (PyArrayObject*)object;
    Py_INCREF(PyArray_DESCR(array));
    return PyArray_NewFromDescr(&PyArray_Type, PyArray_DESCR(array), PyArray_NDIM(array),
                                PyArray_DIMS(array), PyArray_STRIDES(array), PyArray_DATA(array),
                                NPY_ARRAY_WRITEABLE, nullptr);
}

}  // namespace tl
