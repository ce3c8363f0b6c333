// Memory of NumPy arrays (NEP 49) and large scratch memory: freed blocks of 4 KB and more are kept and
// given out again, since a fresh one costs a page fault every 4 KB. What nobody wanted for a while goes
// back to the system. Everything is aligned to 64 bytes.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "host/shared.h"

namespace tl {

class TL_SHARED BlockAllocator {
    static constexpr size_t kAlignment = 64, kSmallest = 1 << 12, kHuge = 1 << 22;
    static constexpr int kClasses = 4 * 28;  // four sizes to every doubling, up to 1 TB

    // Stands before the data; `next` links the free blocks of a class, the last freed first.
    struct Header {
        void* raw;
        size_t capacity;
        int size_class;  // -1: not kept
        bool held, released;  // by a recording (host/record.h); and by everybody else
        bool spent;           // what it holds is not wanted once everybody else has released it
        uint32_t tick;        // when it was freed
        Header* next;
    };
    static_assert(sizeof(Header) <= kAlignment, "the header fits before aligned data");

    std::atomic<bool> busy_{false};
    Header* free_[kClasses] = {};
    size_t kept_ = 0, limit_;
    uint32_t tick_ = 0;
    std::atomic<bool> watched_{false};  // whether a thread counts the ticks

    static Header* header_of(void* data) { return (Header*)((char*)data - kAlignment); }
    static int class_of(size_t size, size_t* capacity);
    static Header* fresh(size_t capacity, int size_class, bool zero);
    static size_t free_all(Header* list);
    bool try_lock();
    void unlock() { busy_.store(false, std::memory_order_release); }
    Header* take(int size_class);
    bool keep(Header* block);
    Header* take_old(uint32_t ticks);
    void watch();
    void keep_watch();

  public:
    BlockAllocator();

    // Null if there is no memory.
    void* allocate(size_t size, bool zero);
    void release(void* data);
    void* resize(void* data, size_t size);

    // Keep a block although its owner releases it, until it is let go.
    void hold(void* data) { header_of(data)->held = true; }
    void let_go(void* data);
    // What a held block holds is not wanted once its owner has released it: its pages go back to the
    // system, but for its ends.
    void spend(void* data);
    bool is_released(void* data) const { return header_of(data)->released; }
    size_t capacity(void* data) const { return header_of(data)->capacity; }

    size_t kept() const { return kept_; }
    void set_limit(size_t bytes) { limit_ = bytes; }
    // Gives the kept blocks back to the system; returns their bytes.
    size_t empty();
    // After a fork, in the child: another thread may have been at the lists.
    void forget_threads();
};

TL_SHARED BlockAllocator& block_allocator();

// The same, and what each thread keeps for its kernels, once it looks again.
size_t empty_cache();

}  // namespace tl
