// Recording what the extension does: while a log is open in a thread, every kernel, product and copy
// that runs there is noted with its arguments, and can be run again in one call without Python's lock
// (tensorlite/recording). Every block of memory that NumPy allocates meanwhile is kept for it.
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <type_traits>
#include <utility>
#include <vector>

#include "host/allocator.h"
#include "host/kernel.h"
#include "host/memory.h"
#include "host/numpy.h"
#include "types.h"

namespace tl {

constexpr const char* kLogName = "tensorlite.log";  // of the capsules that hold logs

// An array of a call: the bytes from data + low up to data + high may be read, or `written`, too.
struct Operand {
    void* data;
    Index low, high;
    bool written;
    char type = 0;  // of its elements, as in NumPy's dtype.char; 0: not told
};

template <typename T>
constexpr char type_char = std::is_same<T, float>::value     ? 'f'
                           : std::is_same<T, double>::value  ? 'd'
                           : std::is_same<T, uint8_t>::value ? 'B'
                           : std::is_same<T, f16>::value     ? 'e'
                           : std::is_same<T, bf16>::value    ? 'E'
                           : std::is_same<T, Index>::value   ? 'q'
                                                             : 0;

template <typename T>
Operand operand(const T* data, Index size) {
    return {(void*)data, 0, size * Index(sizeof(T)), false, type_char<T>};
}
template <typename T>
Operand operand(T* data, Index size) {
    return {(void*)data, 0, size * Index(sizeof(T)), true, type_char<T>};
}

// The letter of a type, as in NumPy's dtype.char; 0 where a plan need not know it.
inline char letter_of(Type type) {
    switch (type) {
        case F32: return 'f';
        case F64: return 'd';
        case F16: return 'e';
        case BF16: return 'E';
        case I64: return 'q';
        case U8: return 'B';
        default: return 0;
    }
}

// A strided array as an operand of a recorded call.
inline Operand operand(PyArrayObject* x, bool written) {
    Index low = 0, high = PyArray_ITEMSIZE(x);
    for (int d = 0; d < PyArray_NDIM(x); ++d) {
        if (PyArray_DIM(x, d) == 0) high = low = 0;
        const Index span = (PyArray_DIM(x, d) - 1) * PyArray_STRIDE(x, d);
        (span < 0 ? low : high) += span;
    }
    return {PyArray_DATA(x), low, high, written, PyArray_DESCR(x)->type};
}

// A number of a call, to be shown and compared.
struct Scalar {
    char kind;  // as in Python's struct: d, q or Q
    uint64_t bits;
    Scalar(double value) : kind('d') { std::memcpy(&bits, &value, 8); }
    Scalar(float value) : Scalar(double(value)) {}
    Scalar(Index value) : kind('q'), bits(uint64_t(value)) {}
    Scalar(int value) : Scalar(Index(value)) {}
    Scalar(bool value) : Scalar(Index(value)) {}
    Scalar(uint64_t value) : kind('Q'), bits(value) {}
};

// How a call is done again, at the addresses of its arrays: any function object, shared by its copies.
// What <functional> has would be half of the time to compile this header.
class Run {
    struct Held {
        int users = 1;
        virtual ~Held() {}
        virtual void run(void* const* at) const = 0;
    };
    template <typename F>
    struct Of : Held {
        F function;
        explicit Of(F&& f) : function(std::move(f)) {}
        void run(void* const* at) const override { function(at); }
    };
    Held* held_ = nullptr;

  public:
    Run() = default;
    template <typename F, typename = std::enable_if_t<!std::is_same<std::decay_t<F>, Run>::value>>
    Run(F function) : held_(new Of<F>(std::move(function))) {}
    Run(const Run& other) : held_(other.held_) {
        if (held_) __atomic_add_fetch(&held_->users, 1, __ATOMIC_RELAXED);
    }
    Run(Run&& other) noexcept : held_(std::exchange(other.held_, nullptr)) {}
    Run& operator=(Run other) noexcept {
        std::swap(held_, other.held_);
        return *this;
    }
    ~Run() {
        if (held_ && !__atomic_sub_fetch(&held_->users, 1, __ATOMIC_ACQ_REL)) delete held_;
    }
    void operator()(void* const* at) const { held_->run(at); }
};

class Log {
  public:
    struct Entry {
        const char* name = nullptr;  // kept for good
        std::vector<Operand> operands;
        std::vector<Scalar> scalars;
        std::vector<void*> arrays;  // where they are now
        Run run;
        unsigned traits = 0;
        size_t scratch = 0;         // bytes of large scratch memory that this thread took
        char* lent = nullptr;       // where the plan has room for it
        std::vector<Entry> again{};  // calls from before whose results were given up, done again first
        bool dead = false;          // nobody reads what it writes

        void replay() const {
            for (const Entry& each : again) each.replay();
            replay_alone();
        }
        void replay_alone() const {
            const Lending lending(lent, scratch);
            run(arrays.data());
        }
    };
    std::vector<Entry> entries;
    std::vector<void*> blocks;  // in the order in which they were allocated
    std::map<char*, size_t> sizes;  // of the blocks
    void* room = nullptr;       // what planned temporaries share
    size_t room_size = 0;
    bool borrows = false;       // the blocks are another log's, which is there as long

    // Where calls refer to a block that is handed out to the caller, a new one for each replay.
    struct Place {
        void** at;
        size_t offset;
    };
    std::vector<std::vector<Place>> handed;

    ~Log() {
        for (void* block : blocks)
            if (block && !borrows) block_allocator().let_go(block);
        block_allocator().release(room);
    }

    void note(const char* name, std::vector<Operand> operands, std::vector<Scalar> scalars, Run run,
              unsigned traits = 0) {
        std::vector<void*> arrays;
        for (const Operand& each : operands) arrays.push_back(each.data);
        const size_t scratch = most_scratch();
        entries.push_back({name, std::move(operands), std::move(scalars), std::move(arrays),
                           std::move(run), traits, scratch});
    }

    // False where there is no memory to note it.
    bool keep(void* block) {
        try {
            sizes[(char*)block] = block_allocator().capacity(block);
            blocks.push_back(block);
        } catch (const std::bad_alloc&) {
            sizes.erase((char*)block);
            return false;
        }
        block_allocator().hold(block);
        return true;
    }

    // Whether an address lies in memory that was allocated for this log.
    bool owns(const void* data) const {
        auto after = sizes.upper_bound((char*)data);
        if (after == sizes.begin()) return false;
        --after;
        return (const char*)data < after->first + after->second;
    }

    void replay(size_t first, size_t last) const {
        for (size_t i = first; i < last; ++i)
            if (!entries[i].dead) entries[i].replay();
    }
};

// A log as Python has it, in a capsule.
inline PyObject* in_capsule(Log* log) {
    if (!log) return PyErr_NoMemory();
    return PyCapsule_New(log, kLogName, [](PyObject* capsule) {
        delete (Log*)PyCapsule_GetPointer(capsule, kLogName);
    });
}

// The log that is open in this thread.
TL_SHARED inline Log*& open_log() {
#if defined(__linux__)  // else glibc ends the process where there is no memory for a thread's copy
    __attribute__((tls_model("initial-exec")))
#endif
    static thread_local Log* log = nullptr;
    return log;
}

inline bool recording() { return __builtin_expect(open_log() != nullptr, false); }

}  // namespace tl
