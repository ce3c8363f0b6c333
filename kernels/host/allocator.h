// Memory of NumPy arrays (NEP 49): freed blocks of 4 KB and more are kept and given out again, since
// a fresh one costs a page fault every 4 KB. Everything is aligned to 64 bytes.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace tl {

class BlockAllocator {
    static constexpr size_t kAlignment = 64, kSmallest = 1 << 12, kHuge = 1 << 22;
    static constexpr int kClasses = 4 * 28;  // four sizes to every doubling, up to 1 TB

    // Stands before the data; `next` links the free blocks of a class.
    struct Header {
        void* raw;
        size_t capacity;
        int size_class;  // -1: not kept
        bool held, released;  // by a recording (host/record.h); and by everybody else
        Header* next;
    };
    static_assert(sizeof(Header) <= kAlignment, "the header fits before aligned data");

    std::atomic<bool> busy_{false};
    Header* free_[kClasses] = {};
    size_t kept_ = 0, limit_ = 0;

    static Header* header_of(void* data) { return (Header*)((char*)data - kAlignment); }

    // The class of a size, and its capacity: 2^k (1, 1¼, 1½ or 1¾) of the smallest.
    static int class_of(size_t size, size_t* capacity) {
        for (int c = 0; c < kClasses; ++c) {
            *capacity = (kSmallest / 4 * (4 + c % 4)) << c / 4;
            if (*capacity >= size) return c;
        }
        *capacity = size;
        return -1;
    }

    // Nobody waits: who finds the lists in use, by another thread or by one that a fork left behind,
    // goes to malloc instead.
    bool try_lock() { return !busy_.exchange(true, std::memory_order_acquire); }
    void unlock() { busy_.store(false, std::memory_order_release); }

    Header* take(int size_class) {
        Header* found = nullptr;
        if (try_lock()) {
            found = free_[size_class];
            if (found) free_[size_class] = found->next, kept_ -= found->capacity;
            unlock();
        }
        return found;
    }

    bool keep(Header* block) {
        bool kept = false;
        if (try_lock()) {
            kept = kept_ + block->capacity <= limit_;
            if (kept) {
                block->next = free_[block->size_class];
                free_[block->size_class] = block;
                kept_ += block->capacity;
            }
            unlock();
        }
        return kept;
    }

    static Header* fresh(size_t capacity, int size_class, bool zero) {
        const size_t total = capacity + 2 * kAlignment;
        void* raw = total < capacity ? nullptr : zero ? std::calloc(1, total) : std::malloc(total);
        if (!raw) return nullptr;
        const uintptr_t data = ((uintptr_t)raw + 2 * kAlignment - 1) & ~(uintptr_t)(kAlignment - 1);
#if defined(MADV_HUGEPAGE)
        if (capacity >= kHuge) {  // as NumPy does
            const uintptr_t page = (data + 4095) & ~(uintptr_t)4095;
            madvise((void*)page, (data + capacity - page) & ~(uintptr_t)4095, MADV_HUGEPAGE);
        }
#endif
        Header* header = header_of((void*)data);
        *header = {raw, capacity, size_class, false, false, nullptr};
        return header;
    }

  public:
    BlockAllocator() {
        const size_t memory = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGE_SIZE);
        limit_ = memory / 16 < (size_t)1 << 30 ? memory / 16 : (size_t)1 << 30;
    }

    void* allocate(size_t size, bool zero) {
        size_t capacity = size;
        const int size_class = size >= kSmallest ? class_of(size, &capacity) : -1;
        Header* block = size_class >= 0 ? take(size_class) : nullptr;
        if (block && zero) std::memset((char*)block + kAlignment, 0, size);
        if (!block) block = fresh(capacity, size_class, zero);
        return block ? (char*)block + kAlignment : nullptr;
    }

    void release(void* data) {
        if (!data) return;
        Header* block = header_of(data);
        if (block->held) {
            block->released = true;
            return;
        }
        if (block->size_class < 0 || !keep(block)) std::free(block->raw);
    }

    // Keep a block although its owner releases it, until it is let go.
    void hold(void* data) { header_of(data)->held = true; }
    void let_go(void* data) {
        Header* block = header_of(data);
        const bool released = block->released;
        block->held = block->released = false;
        if (released) release(data);
    }
    bool is_released(void* data) const { return header_of(data)->released; }
    size_t capacity(void* data) const { return header_of(data)->capacity; }

    void* resize(void* data, size_t size) {
        if (data && size <= header_of(data)->capacity) return data;
        void* moved = allocate(size, false);
        if (moved && data) {
            std::memcpy(moved, data, header_of(data)->capacity);
            release(data);
        }
        return moved;
    }
};

// Never destroyed: arrays outlive everything else.
inline BlockAllocator& block_allocator() {
    static BlockAllocator& allocator = *new BlockAllocator;
    return allocator;
}

}  // namespace tl
