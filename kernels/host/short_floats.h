// 16-bit floats are stored on the CPU, not computed with: a kernel is given floats in their place, and
// what it wrote is rounded when it is done. Two versions of every kernel less are to be compiled.
#pragma once

#include "host/allocator.h"
#include "host/kernel.h"
#include "host/memory.h"
#include "types.h"

namespace tl {

void widen(bool is_bf16, const void* from, float* to, Index n);
void round(bool is_bf16, const float* from, void* to, Index n);

// The arrays of one call for which there are floats.
class WidenedArrays {
    struct Widened {
        void* stored;
        float* wide;
        Index size;
        bool is_bf16, written;
    };
    static constexpr int kMost = 16;
    Widened arrays_[kMost];
    int count_ = 0;

  public:
    WidenedArrays() {}
    WidenedArrays(const WidenedArrays&) = delete;
    ~WidenedArrays() {
        for (int i = 0; i < count_; ++i) block_allocator().release(arrays_[i].wide);
    }

    // The same numbers in float. What will be written is widened
    // too: a kernel may add to it.
    float* add(void* stored, Index size, bool is_bf16, bool written);

    void round() const {
        if (count_) round_all();
    }

  private:
    void round_all() const;
};

// A kernel that maps arrays to one, the last, all of as many elements as its first number says: runs it
// for a small block after the other, whose floats stay in the cache.
void map_short(bool is_bf16, void* const* arrays, int count, const Number* numbers, int number_count,
               Body body);

}  // namespace tl
