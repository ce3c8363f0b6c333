// Where memory comes from on the host, and what happens where there is none: `NoMemory` is thrown. The
// pool brings it from a worker to the caller, the bindings make a MemoryError of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <new>
#include <vector>

#include "host/shared.h"

namespace tl {

// How many bytes were asked for in vain; 0 if that is not known.
struct TL_SHARED NoMemory : std::bad_alloc {
    size_t bytes;
    explicit NoMemory(size_t bytes) : bytes(bytes) {}
    const char* what() const noexcept override { return "no memory"; }
};

// A thread's first exception needs memory of its own, and where there is none glibc ends the process:
// this makes room for it beforehand.
inline void prepare_to_throw() {
    volatile int asked = std::uncaught_exceptions();  // the compiler leaves out what nobody reads
    (void)asked;
}

// A kept block that fits, or a new one, aligned to 64 bytes; `bytes` becomes its true size.
TL_SHARED void* take_scratch(size_t& bytes);
TL_SHARED void give_back_scratch(void* memory, size_t bytes);

// Lends this thread memory, aligned to 64 bytes, that large scratch memory comes from first.
class TL_SHARED Lending {
    char* before_;
    size_t bytes_before_;

  public:
    Lending(char* memory, size_t bytes);
    ~Lending();
    Lending(const Lending&) = delete;
};
// How much large scratch memory this thread had at a time since it was asked last.
TL_SHARED size_t most_scratch();

// `count` elements of `each` bytes; NoMemory if there are no such sizes.
inline size_t bytes_of(int64_t count, size_t each) {
    size_t bytes;
    if (count < 0 || __builtin_mul_overflow(size_t(count), each, &bytes) || bytes > SIZE_MAX / 4)
        throw NoMemory(SIZE_MAX);
    return bytes;
}

// What List allocates with.
template <typename T>
struct Allocator {
    using value_type = T;
    Allocator() = default;
    template <typename U>
    Allocator(const Allocator<U>&) {}
    T* allocate(size_t count) {
        const size_t bytes = bytes_of(int64_t(count), sizeof(T));
        if (void* memory = ::operator new(bytes, std::nothrow)) return static_cast<T*>(memory);
        throw NoMemory(bytes);
    }
    void deallocate(T* memory, size_t) { ::operator delete(memory); }
    bool operator==(const Allocator&) const { return true; }
    bool operator!=(const Allocator&) const { return false; }
};

// A vector that says how much memory was missing.
template <typename T>
using List = std::vector<T, Allocator<T>>;

}  // namespace tl
