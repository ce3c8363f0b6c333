// Scratch memory of the host kernels: blocks that each thread keeps and uses again.
//
//     Workspace<float> columns(rows * cols);    // 64-byte aligned, uninitialised
//     columns[i] = ...;                         // given back at the end of the scope
//
// A fresh block of more than 128 KB costs page faults every time; a kept one costs nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

#include "types.h"

namespace tl {

class BlockCache {
    static constexpr int kBlocks = 16;
    struct Block {
        void* memory = nullptr;
        size_t bytes = 0;
    };
    Block blocks_[kBlocks];

  public:
    static BlockCache& of_this_thread() {
        static thread_local BlockCache cache;
        return cache;
    }

    ~BlockCache() {
        for (Block& block : blocks_) std::free(block.memory);
    }

    // The smallest kept block that fits, or a new one; `bytes` becomes its true size.
    TL_APART void* take(size_t& bytes) {
        Block* best = nullptr;
        for (Block& block : blocks_)
            if (block.bytes >= bytes && (!best || block.bytes < best->bytes)) best = &block;
        if (best) {
            void* memory = best->memory;
            bytes = best->bytes;
            *best = Block();
            return memory;
        }
        bytes = (bytes + 4095) / 4096 * 4096;
        void* memory = std::aligned_alloc(64, bytes);
        if (!memory) throw std::bad_alloc();
        return memory;
    }

    // Keeps the larger blocks: a small one is cheap to get again.
    TL_APART void give_back(void* memory, size_t bytes) {
        Block* smallest = &blocks_[0];
        for (Block& block : blocks_)
            if (block.bytes < smallest->bytes) smallest = &block;
        if (smallest->bytes < bytes) {
            std::free(smallest->memory);
            *smallest = {memory, bytes};
        } else {
            std::free(memory);
        }
    }
};

template <class T>
class Workspace {
    size_t bytes_;
    T* data_;

  public:
    explicit Workspace(Index count)
        : bytes_(count > 0 ? count * sizeof(T) : 1),
          data_(static_cast<T*>(BlockCache::of_this_thread().take(bytes_))) {}
    ~Workspace() { BlockCache::of_this_thread().give_back(data_, bytes_); }
    Workspace(const Workspace&) = delete;
    Workspace& operator=(const Workspace&) = delete;

    operator T*() const { return data_; }
};

// A block that is taken when it is first needed.
class Scratch {
    void* data_ = nullptr;
    size_t bytes_ = 0;

  public:
    Scratch() = default;
    Scratch(const Scratch&) = delete;
    TL_APART ~Scratch() {
        if (data_) BlockCache::of_this_thread().give_back(data_, bytes_);
    }
    // The same size every time.
    TL_APART void* of(size_t bytes) {
        if (!data_) data_ = BlockCache::of_this_thread().take(bytes_ = bytes);
        return data_;
    }
};

}  // namespace tl
