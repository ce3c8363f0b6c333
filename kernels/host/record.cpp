// Logs of calls as Python has them, in capsules; see record.h. tensorlite/capture/log.py says what each
// function is for.
#define NO_IMPORT_ARRAY  // module.h does it

#include "record.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <numeric>

#include "objects.h"

namespace tl {
namespace {

const char* const kName = "tensorlite.log";

Log* log_of(PyObject* capsule) { return (Log*)PyCapsule_GetPointer(capsule, kName); }

// Reads a log and whole numbers; null if they are not that.
Log* read(PyObject* const* args, Py_ssize_t given, Py_ssize_t wanted, size_t* numbers) {
    if (given != wanted) return PyErr_Format(PyExc_TypeError, "takes %zd arguments", wanted), nullptr;
    for (Py_ssize_t i = 1; i < wanted; ++i) {
        numbers[i - 1] = PyLong_AsSize_t(args[i]);
        if (PyErr_Occurred()) return nullptr;
    }
    return log_of(args[0]);
}

// A block of temporaries, and the calls between which it is used.
struct Lifetime {
    char* block;
    size_t size, first, last, offset;
    bool used;
};

// Finds the block that an address lies in.
class Blocks {
    std::vector<Lifetime>& all_;
    std::map<char*, size_t> by_address_;

  public:
    explicit Blocks(std::vector<Lifetime>& all) : all_(all) {
        for (size_t i = 0; i < all.size(); ++i) by_address_[all[i].block] = i;
    }
    Lifetime* of(void* data) const {
        auto after = by_address_.upper_bound((char*)data);
        if (after == by_address_.begin()) return nullptr;
        Lifetime& found = all_[std::prev(after)->second];
        return (char*)data < found.block + found.size ? &found : nullptr;
    }
};

// Marks the calls that write nothing but temporaries which no later call reads.
size_t bury(Log& log, const Blocks& blocks) {
    size_t dead = 0;
    std::map<Lifetime*, bool> wanted;
    for (size_t i = log.entries.size(); i-- > 0;) {
        Log::Entry& entry = log.entries[i];
        bool alive = false;
        for (const Operand& each : entry.operands) {
            if (!each.written || !each.data) continue;
            Lifetime* block = blocks.of(each.data);
            alive = alive || !block || wanted[block];
        }
        entry.dead = !alive;
        dead += entry.dead;
        if (!alive) continue;
        for (const Operand& each : entry.operands)
            if (Lifetime* block = each.data ? blocks.of(each.data) : nullptr) wanted[block] = true;
    }
    return dead;
}

// Gives each block that is used a place in one room, where blocks that are never used at the same time
// may overlap: the largest first, each as low as it fits. Returns the size of the room.
size_t place(std::vector<Lifetime>& blocks) {
    std::vector<Lifetime*> order, placed;
    for (Lifetime& each : blocks)
        if (each.used) order.push_back(&each);
    std::stable_sort(order.begin(), order.end(),
                     [](const Lifetime* a, const Lifetime* b) { return a->size > b->size; });
    size_t room = 0;
    for (Lifetime* each : order) {
        std::vector<Lifetime*> beside;
        for (Lifetime* other : placed)
            if (other->first <= each->last && each->first <= other->last) beside.push_back(other);
        std::sort(beside.begin(), beside.end(),
                  [](const Lifetime* a, const Lifetime* b) { return a->offset < b->offset; });
        size_t offset = 0;
        for (const Lifetime* other : beside)
            if (other->offset < offset + each->size) offset = std::max(offset, other->offset + other->size);
        each->offset = offset;
        placed.push_back(each);
        room = std::max(room, offset + each->size);
    }
    return room;
}

}  // namespace

PyObject* py_log_open(PyObject*, PyObject*) {
    auto* log = new (std::nothrow) Log;
    return !log ? PyErr_NoMemory() : PyCapsule_New(log, kName, [](PyObject* capsule) { delete log_of(capsule); });
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
    Ref calls(PyList_New(0));
    for (size_t i = range[0]; calls && i < std::min(range[1], log->entries.size()); ++i) {
        const Log::Entry& entry = log->entries[i];
        Ref arrays(PyList_New(0)), scalars(PyList_New(0));
        for (size_t j = 0; arrays && j < entry.operands.size(); ++j) {
            const Operand& each = entry.operands[j];
            const Ref one(Py_BuildValue("KnO", (unsigned long long)((char*)entry.arrays[j] + each.low),
                                        (Py_ssize_t)(each.data ? each.high - each.low : 0),
                                        each.written ? Py_True : Py_False));
            if (!one || PyList_Append(arrays, one)) return nullptr;
        }
        for (const Scalar& each : entry.scalars) {
            double real;
            std::memcpy(&real, &each.bits, 8);
            const Ref one(each.kind == 'd'   ? PyFloat_FromDouble(real)
                          : each.kind == 'q' ? PyLong_FromLongLong((long long)each.bits)
                                             : PyLong_FromUnsignedLongLong(each.bits));
            if (!one || !scalars || PyList_Append(scalars, one)) return nullptr;
        }
        const Ref call(Py_BuildValue("sOOO", entry.name.c_str(), (PyObject*)arrays, (PyObject*)scalars,
                                     entry.dead ? Py_True : Py_False));
        if (!call || PyList_Append(calls, call)) return nullptr;
    }
    return calls.release();
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
            times.push_back(passed());
            log->replay(i, i + 1);
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

// `movable` lists the blocks whose contents no call needs from before it wrote them.
PyObject* py_log_plan(PyObject*, PyObject* const* args, Py_ssize_t given) {
    if (given != 2 || !PyList_Check(args[1]))
        return PyErr_Format(PyExc_TypeError, "log_plan(log, movable) takes a log and a list");
    Log* log = log_of(args[0]);
    if (!log) return nullptr;
    std::vector<Lifetime> all;
    std::vector<size_t> numbers;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(args[1]); ++i) {
        const size_t number = PyLong_AsSize_t(PyList_GET_ITEM(args[1], i));
        if (PyErr_Occurred()) return nullptr;
        void* block = number < log->blocks.size() ? log->blocks[number] : nullptr;
        if (!block || !block_allocator().is_released(block)) continue;
        all.push_back({(char*)block, block_allocator().capacity(block), 0, 0, 0, false});
        numbers.push_back(number);
    }
    const Blocks blocks(all);
    const size_t dead = bury(*log, blocks);
    for (size_t i = 0; i < log->entries.size(); ++i) {
        if (log->entries[i].dead) continue;
        for (const Operand& each : log->entries[i].operands) {
            Lifetime* block = each.data ? blocks.of(each.data) : nullptr;
            if (!block) continue;
            if (!block->used) block->first = i;
            block->used = true, block->last = i;
        }
    }
    for (Lifetime& each : all) each.size = (each.size + 63) / 64 * 64;
    size_t before = 0;
    for (const Lifetime& each : all) before += each.size;
    const size_t room = place(all);
    auto* start = (char*)block_allocator().allocate(room + 1, false);
    if (!start) return no_memory(room + 1);
    for (Log::Entry& entry : log->entries)
        for (size_t j = 0; j < entry.arrays.size(); ++j)
            if (Lifetime* block = entry.arrays[j] ? blocks.of(entry.arrays[j]) : nullptr)
                entry.arrays[j] = start + block->offset + ((char*)entry.arrays[j] - block->block);
    for (size_t number : numbers) {
        block_allocator().let_go(log->blocks[number]);
        log->blocks[number] = nullptr;
    }
    log->room = start, log->room_size = room;
    return Py_BuildValue("nnn", (Py_ssize_t)before, (Py_ssize_t)room, (Py_ssize_t)dead);
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
