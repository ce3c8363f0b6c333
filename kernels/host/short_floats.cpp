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

void map_short(bool is_bf16, void* const* arrays, int count, const Number* numbers, int number_count,
               Body body) {
    constexpr Index kBlock = 2048;
    constexpr int kMostArrays = 4, kMostNumbers = 16;
    if (count > kMostArrays || number_count > kMostNumbers) throw NoMemory(0);
    parallel_range(numbers[0].integer, kGrain, [=](Index begin, Index end) {
        alignas(64) float floats[kMostArrays][kBlock];
        void* at[kMostArrays];
        Number own[kMostNumbers];
        for (int i = 0; i < count; ++i) at[i] = floats[i];
        for (int i = 0; i < number_count; ++i) own[i] = numbers[i];
        const auto place = [=](int i, Index first) { return (uint16_t*)arrays[i] + first; };
        for (Index first = begin; first < end; first += kBlock) {
            own[0].integer = first + kBlock < end ? kBlock : end - first;
            for (int i = 0; i + 1 < count; ++i) widen(is_bf16, place(i, first), floats[i], own[0].integer);
            body(at, own);
            round(is_bf16, floats[count - 1], place(count - 1, first), own[0].integer);
        }
    });
}

}  // namespace tl
