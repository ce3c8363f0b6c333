// Two sums for each of eight lanes of 64 bits: of the words, and of the products of their halves after
// a key of each place is laid over them. The first one changes with any one word, the second with where
// words are.
#define NO_IMPORT_ARRAY  // module.h does it
#include "digest.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstring>

#include "numpy.h"
#include "pool.h"

namespace tl {
namespace {

constexpr int kLanes = 8, kLines = 16;  // a row: lines with a key each
constexpr Index kLine = kLanes * 8, kRow = kLines * kLine;
constexpr Index kWorthAThread = 4 << 20;  // bytes
constexpr uint64_t kGolden = 0x9E3779B97F4A7C15u;

#if defined(__AVX2__)
constexpr int kWide = 4;
#else
constexpr int kWide = 2;
#endif
constexpr int kParts = kLanes / kWide;
typedef uint64_t Words __attribute__((vector_size(8 * kWide)));

// Of each word the product of its halves.
TL_INLINE Words products(Words x) {
#if defined(__GNUC__) && !defined(__clang__) && defined(__AVX2__)
    typedef int Halves __attribute__((vector_size(32)));
    return (Words)__builtin_ia32_pmuludq256((Halves)x, (Halves)(x >> 32));
#elif defined(__GNUC__) && !defined(__clang__) && defined(__SSE2__)
    typedef int Halves __attribute__((vector_size(16)));
    return (Words)__builtin_ia32_pmuludq128((Halves)x, (Halves)(x >> 32));
#else
    return (x & 0xffffffffu) * (x >> 32);
#endif
}

// SplitMix64 from 0 on.
struct Keys {
    alignas(64) uint64_t of[kLines * kLanes];
    Keys() {
        for (int i = 0; i < kLines * kLanes; ++i) {
            uint64_t z = (i + 1) * kGolden;
            z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
            z = (z ^ z >> 27) * 0x94D049BB133111EBu;
            of[i] = z ^ z >> 31;
        }
    }
};

const Keys keys;

struct Sums {
    Words plain[kParts], mixed[kParts];

    TL_INLINE void add(const uint8_t* line, int number, uint64_t row) {
        for (int p = 0; p < kParts; ++p) {
            Words word, key;
            std::memcpy(&word, line + p * sizeof word, sizeof word);
            std::memcpy(&key, keys.of + number * kLanes + p * kWide, sizeof key);
            plain[p] += word;
            mixed[p] += products(word ^ (key + row));
        }
    }
};

}  // namespace

void sum_block(const uint8_t* bytes, Index count, uint64_t* sums) {
    Sums s = {};
    uint64_t row = 0;
    for (; count >= kRow; bytes += kRow, count -= kRow, row += kGolden)
        for (int number = 0; number < kLines; ++number) s.add(bytes + number * kLine, number, row);
    for (int number = 0; count > 0; ++number, bytes += kLine, count -= kLine) {
        uint8_t line[kLine] = {};
        std::memcpy(line, bytes, count < kLine ? count : kLine);
        s.add(line, number, row);
    }
    std::memcpy(sums, s.plain, sizeof s.plain);
    std::memcpy(sums + kLanes, s.mixed, sizeof s.mixed);
}

Transfer read_summed(int file, off_t at, uint8_t* bytes, Index count, uint64_t* sums) {
    std::atomic<Index> done{count};
    std::atomic<int> error{0};
    parallel(blocks_of(count), [&](Index block) {
        const Index begin = block * kSumsBlock;
        const Index end = begin + kSumsBlock < count ? begin + kSumsBlock : count;
        for (Index here = begin; here < end;) {
            if (error.load(std::memory_order_relaxed)) return;
            const ssize_t got = pread(file, bytes + here, end - here, at + here);
            if (got > 0) {
                here += got;
            } else if (got == 0) {
                Index least = done.load();
                while (here < least && !done.compare_exchange_weak(least, here)) {}
                return;
            } else if (errno != EINTR) {
                error.store(errno);
                return;
            }
        }
        sum_block(bytes + begin, end - begin, sums + block * kSums);
    });
    return {done.load(), error.load()};
}

namespace {

// The sums of all blocks, taken by whoever has time.
struct Summing {
    const uint8_t* bytes;
    Index count;
    uint64_t* sums;
    std::atomic<Index> next{0};

    // One more; false where there is none.
    bool take() {
        const Index block = next.fetch_add(1), begin = block * kSumsBlock, rest = count - begin;
        if (rest <= 0) return false;
        sum_block(bytes + begin, rest < kSumsBlock ? rest : kSumsBlock, sums + block * kSums);
        return true;
    }
};

// A thread that takes them; it gets no signals, which are for Python's threads.
bool begin(Summing& summing, pthread_t& thread) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const auto body = [](void* own) -> void* {
        while (static_cast<Summing*>(own)->take()) {}
        return nullptr;
    };
    const bool begun = pthread_create(&thread, nullptr, body, &summing) == 0;
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return begun;
}

}  // namespace

Transfer write_summed(int file, const uint8_t* bytes, Index count, uint64_t* sums) {
    Summing summing{bytes, count, sums};
    pthread_t helper;
    const bool helped = count > kWorthAThread && num_threads() > 1 && begin(summing, helper);
    Transfer done = {0, 0};
    while (done.done < count && !done.error) {
        if (!helped && done.done % kSumsBlock == 0) summing.take();  // it is in a cache then
        const Index rest = count - done.done;
        const ssize_t put = write(file, bytes + done.done, rest < kSumsBlock ? rest : kSumsBlock);
        if (put >= 0) done.done += put;
        else if (errno != EINTR) done.error = errno;
    }
    while (!done.error && summing.take()) {}
    if (helped) {
        if (done.error) summing.next.store(blocks_of(count));
        pthread_join(helper, nullptr);
    }
    return done;
}

// --- for Python -------------------------------------------------------------------------------------

namespace {

// The bytes and the room for their sums, which end the arguments; false, and an error, if they are not that.
bool read(PyObject* const* args, uint8_t*& bytes, Index& count, uint64_t*& sums) {
    for (int i = 0; i < 2; ++i) {
        auto* array = (PyArrayObject*)args[i];
        const int type = i ? NPY_UINT64 : NPY_UINT8;
        if (!PyArray_Check(args[i]) || !PyArray_EquivTypenums(PyArray_TYPE(array), type) ||
            !PyArray_ISCARRAY_RO(array))
            return PyErr_Format(PyExc_TypeError, "block sums: %s must be a C-contiguous array of %s",
                                i ? "sums" : "memory", i ? "uint64" : "uint8"), false;
    }
    auto *memory = (PyArrayObject*)args[0], *room = (PyArrayObject*)args[1];
    bytes = (uint8_t*)PyArray_DATA(memory);
    sums = (uint64_t*)PyArray_DATA(room);
    count = PyArray_SIZE(memory);
    if (PyArray_SIZE(room) == blocks_of(count) * kSums && PyArray_ISWRITEABLE(room)) return true;
    return PyErr_Format(PyExc_ValueError, "block sums: sums must be writeable, with %d numbers for each "
                        "%lld bytes", kSums, (long long)kSumsBlock), false;
}

PyObject* as_pair(Transfer done) { return Py_BuildValue("Li", (long long)done.done, done.error); }

}  // namespace

PyObject* py_block_sums(PyObject*, PyObject* const* args, Py_ssize_t given) {
    uint8_t* bytes;
    uint64_t* sums;
    Index count;
    if (given != 2) return PyErr_Format(PyExc_TypeError, "block_sums(memory, sums) takes 2 arguments");
    if (!read(args, bytes, count, sums)) return nullptr;
    {
        const WithoutLock unlocked(count > kSumsBlock);
        parallel(blocks_of(count), [=](Index block) {
            const Index begin = block * kSumsBlock, rest = count - begin;
            sum_block(bytes + begin, rest < kSumsBlock ? rest : kSumsBlock, sums + block * kSums);
        });
    }
    Py_RETURN_NONE;
}

PyObject* py_read_summed(PyObject*, PyObject* const* args, Py_ssize_t given) {
    uint8_t* bytes;
    uint64_t* sums;
    Index count;
    if (given != 4)
        return PyErr_Format(PyExc_TypeError, "read_summed(file, at, memory, sums) takes 4 arguments");
    const long file = PyLong_AsLong(args[0]);
    const long long at = PyLong_AsLongLong(args[1]);
    if (PyErr_Occurred() || !read(args + 2, bytes, count, sums)) return nullptr;
    if (!PyArray_ISWRITEABLE((PyArrayObject*)args[2]))
        return PyErr_Format(PyExc_ValueError, "read_summed: memory must be writeable");
    Transfer done;
    {
        const WithoutLock unlocked;
        done = read_summed((int)file, at, bytes, count, sums);
    }
    return as_pair(done);
}

PyObject* py_write_summed(PyObject*, PyObject* const* args, Py_ssize_t given) {
    uint8_t* bytes;
    uint64_t* sums;
    Index count;
    if (given != 3)
        return PyErr_Format(PyExc_TypeError, "write_summed(file, memory, sums) takes 3 arguments");
    const long file = PyLong_AsLong(args[0]);
    if (PyErr_Occurred() || !read(args + 1, bytes, count, sums)) return nullptr;
    Transfer done;
    {
        const WithoutLock unlocked;
        done = write_summed((int)file, bytes, count, sums);
    }
    return as_pair(done);
}

}  // namespace tl
