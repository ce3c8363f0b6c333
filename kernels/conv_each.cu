// Convolution on CUDA where a group has few channels and filters: depthwise, one of each. A product
// would multiply zeros for the most part; here a lane has a place, and adds up what its taps see, in
// order. There are up to kMostTaps taps. The parameters are those of conv_product.cu.
#include "tensorlite.h"

#if defined(__CUDACC__)
#include "device/convolution.h"

namespace tl {

constexpr int kEachThreads = 256;
constexpr int kTogether = 9;  // taps whose sums a lane has at a time

// The sum of a block, in its first thread, in an order that is always the same.
template <typename A, int count>
TL_INLINE void block_sums(A (&sums)[count], A (*memory)[count]) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
#pragma unroll
    for (int t = 0; t < count; ++t) {
#pragma unroll
        for (int step = 16; step > 0; step /= 2) sums[t] += __shfl_xor_sync(0xffffffffu, sums[t], step);
        if (lane == 0) memory[warp][t] = sums[t];
    }
    __syncthreads();
}

// Σ over channels and taps; kTaps of them, or 0 where it is not known how many.
template <int kTaps, typename A, typename T>
TL_INLINE A seen_by(const Place<T>& place, const A* weights, const int* offsets, int taps,
                    int channels, Index volume) {
    const int count = kTaps ? kTaps : taps;
    A sum = 0;
    for (int c = 0; c < channels; ++c) {
        const T* element = place.element + c * volume;
#pragma unroll
        for (int t = 0; t < count; ++t)
            if (place.inside >> t & 1) sum += weights[c * count + t] * A(element[offsets[t]]);
    }
    return sum;
}

template <typename T>
BLOCKS(blocks, 256)
void conv_each(PRODUCT_PARAMETERS(T)) {
    using A = Acc<T>;
    constexpr int kMostWeights = 8 * kMostTaps;
    __shared__ A weights[kMostWeights];
    __shared__ int offsets[kMostTaps];
    const Axes axes = TL_AXES;
    const Target target = TL_TARGET;
    const uint32_t of_all = (uint32_t)(groups * filters), row = blockIdx.x % of_all;
    const uint32_t group = row / (uint32_t)filters;
    const Taps taps = taps_from(0, axes, offsets);
    const int every = (int)channels * taps.count;
    for (int i = threadIdx.x; i < every; i += kEachThreads) weights[i] = A(w[(Index)row * every + i]);
    __syncthreads();

    const Patches<T> patches(x + group * channels * axes.volume(), images,
                             groups * channels * axes.volume(), axes);
    const uint32_t number = blockIdx.x / of_all * kEachThreads + threadIdx.x;
    const Index to = target.result(patches, number, of_all);
    if (to < 0) return;
    const Place<T> place = patches.place(number, taps);
    const int count = (int)channels;
    const A sum = taps.count == 9
                      ? seen_by<9>(place, weights, offsets, 9, count, axes.volume())
                      : seen_by<0>(place, weights, offsets, taps.count, count, axes.volume());
    y[to + row * target.volume()] = T(sum + (bias ? A(bias[row]) : A(0)));
}

// partial[part][m, c, tap] = Σ g[n, m, place] · x[n, c, place] over the part's share of all places.
// A block has a filter, a channel and up to kTogether taps.
template <typename T>
BLOCKS(blocks, 256)
void conv_each_weights(WEIGHTS_PARAMETERS(T)) {
    using A = Acc<T>;
    __shared__ int offsets[kMostTaps];
    __shared__ A memory[kEachThreads / 32][kTogether];
    const Axes axes = TL_AXES;
    const Taps taps = taps_from(0, axes, offsets);
    uint32_t number = blockIdx.x;
    const uint32_t batches = (uint32_t)(taps.count + kTogether - 1) / kTogether;
    const int first = (int)(number % batches) * kTogether;
    number /= batches;
    const uint32_t of_all = (uint32_t)(groups * filters), part = number / (of_all * (uint32_t)channels);
    const uint32_t row = number / (uint32_t)channels % of_all, channel = number % (uint32_t)channels;
    const Index from = (row / (uint32_t)filters) * channels + channel;
    const Patches<T> patches(x + from * axes.volume(), images, groups * channels * axes.volume(), axes);
    const uint32_t places = patches.of_image.by;
    A sums[kTogether] = {};
    const Share mine = share(images * places, part, parts);
    for (uint32_t i = (uint32_t)mine.first + threadIdx.x; i < mine.last; i += kEachThreads) {
        const uint32_t n = patches.of_image.quotient(i);
        const Place<T> place = patches.place(i, taps);
        const A slope = A(g[((Index)n * of_all + row) * places + (i - n * places)]);
#pragma unroll
        for (int t = 0; t < kTogether; ++t)
            if (first + t < taps.count && place.inside >> (first + t) & 1)
                sums[t] += slope * A(place.element[offsets[first + t]]);
    }
    block_sums(sums, memory);
    const int tap = first + (int)threadIdx.x;
    if (threadIdx.x >= kTogether || tap >= taps.count) return;
    A all = 0;
    for (int warp = 0; warp < kEachThreads / 32; ++warp) all += memory[warp][threadIdx.x];
    partial[(((Index)part * of_all + row) * channels + channel) * taps.count + tap] = all;
}

}  // namespace tl
#endif
