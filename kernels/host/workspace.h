// Scratch memory of the host kernels: blocks that each thread keeps and uses again.
//
//     Workspace<float> columns(rows * cols);    // 64-byte aligned, uninitialised
//     columns[i] = ...;                         // given back at the end of the scope
//
// A fresh block of more than 128 KB costs page faults every time; a kept one costs nothing. Where
// there is no memory, NoMemory is thrown.
#pragma once

#include "host/memory.h"
#include "types.h"

namespace tl {

template <class T>
class Workspace {
    size_t bytes_;
    T* data_;

  public:
    explicit Workspace(Index count)
        : bytes_(count > 0 ? bytes_of(count, sizeof(T)) : 1),
          data_(static_cast<T*>(take_scratch(bytes_))) {}
    ~Workspace() { give_back_scratch(data_, bytes_); }
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
        if (data_) give_back_scratch(data_, bytes_);
    }
    // The same size every time.
    TL_APART void* of(size_t bytes) {
        if (!data_) {
            data_ = take_scratch(bytes);
            bytes_ = bytes;
        }
        return data_;
    }
};

}  // namespace tl
