#include "host/short_floats.h"

namespace tl {

template <typename S, typename T>
static void convert(const S* __restrict__ from, T* __restrict__ to, Index n) {
    for (Index i = 0; i < n; ++i) to[i] = T(float(from[i]));
}

void widen(bool is_bf16, const void* from, float* to, Index n) {
    is_bf16 ? convert((const bf16*)from, to, n) : convert((const f16*)from, to, n);
}

void round(bool is_bf16, const float* from, void* to, Index n) {
    is_bf16 ? convert(from, (bf16*)to, n) : convert(from, (f16*)to, n);
}

float* WidenedArrays::add(void* stored, Index size, bool is_bf16, bool written) {
    const size_t bytes = bytes_of(size, sizeof(float)) + 1;
    auto* wide = count_ < kMost ? (float*)block_allocator().allocate(bytes, false) : nullptr;
    if (!wide) throw NoMemory(bytes);
    arrays_[count_++] = {stored, wide, size, is_bf16, written};
    parallel_range(size, kGrain, [=](Index begin, Index end) {
        widen(is_bf16, (uint16_t*)stored + begin, wide + begin, end - begin);
    });
    return wide;
}

void WidenedArrays::round_all() const {
    for (int i = 0; i < count_; ++i) {
        const Widened a = arrays_[i];
        if (!a.written) continue;
        parallel_range(a.size, kGrain, [=](Index begin, Index end) {
            tl::round(a.is_bf16, a.wide + begin, (uint16_t*)a.stored + begin, end - begin);
        });
    }
}

}  // namespace tl
