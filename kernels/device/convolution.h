// Convolution and its gradients as products of strips. An image has G groups of channels, a filter
// sees one of them.
#pragma once

#include "patches.h"

namespace tl {

// Where the results of a product go: on each axis, place p belongs to element first + p · stride.
struct Target {
    int size_d, size_h, size_w, first_d, first_h, first_w, stride_d, stride_h, stride_w;

    TL_INLINE Index volume() const { return (Index)size_d * size_h * size_w; }

    // Where a place's result is, of the first of so many filters; -1 behind the last image.
    template <typename T>
    TL_INLINE Index result(const Patches<T>& patches, uint32_t place, Index filters) const {
        const uint32_t n = patches.of_image.quotient(place), within = place - n * patches.of_image.by;
        const uint32_t i = patches.of_plane.quotient(within), plane = within - i * patches.of_plane.by;
        const uint32_t j = patches.of_row.quotient(plane), l = plane - j * patches.of_row.by;
        if (n >= patches.images) return -1;
        const Index row = (Index)(first_d + (int)i * stride_d) * size_h + first_h + (int)j * stride_h;
        return n * filters * volume() + row * size_w + first_w + (int)l * stride_w;
    }
};

// What kernels are given: the image's sizes and how places and taps meet on each axis, and where the
// results go; and the whole lists, of a product over places and of one for the weights' gradient.
#define AXES_PARAMETERS                                                                           \
    PARAMETERS(Index images, Index groups, Index channels, Index filters, Index size_d,           \
               Index size_h, Index size_w, Index places_d, Index places_h, Index places_w,        \
               Index taps_d, Index taps_h, Index taps_w, Index step_d, Index step_h,              \
               Index step_w, Index origin_d, Index origin_h, Index origin_w, Index each_d,        \
               Index each_h, Index each_w)
#define TARGET_PARAMETERS                                                                         \
    PARAMETERS(Index out_d, Index out_h, Index out_w, Index first_d, Index first_h,               \
               Index first_w, Index stride_d, Index stride_h, Index stride_w)
#define PRODUCT_PARAMETERS(T)                                                                     \
    PARAMETERS(const T* x OF(images * groups * channels * size_d * size_h * size_w),              \
               const T* w OF(groups * filters * channels * taps_d * taps_h * taps_w),             \
               const T* bias OPTIONAL(groups * filters),                                          \
               T* y OF(images * groups * filters * out_d * out_h * out_w), AXES_PARAMETERS,       \
               TARGET_PARAMETERS, Index blocks)
#define WEIGHTS_PARAMETERS(T)                                                                     \
    PARAMETERS(const T* g OF(images * groups * filters * places_d * places_h * places_w),         \
               const T* x OF(images * groups * channels * size_d * size_h * size_w),              \
               Acc<T>* partial OF(parts * groups * filters * channels * taps_d * taps_h * taps_w),\
               AXES_PARAMETERS, Index parts, Index blocks)

// The same as kernels count.
#define TL_AXIS(x)                                                                          \
    {                                                                                       \
        (int)size_##x, (int)places_##x, (int)taps_##x, (int)step_##x, (int)origin_##x, (int)each_##x \
    }
#define TL_AXES Axes{TL_AXIS(d), TL_AXIS(h), TL_AXIS(w)}
#define TL_TARGET                                                                         \
    Target {                                                                              \
        (int)out_d, (int)out_h, (int)out_w, (int)first_d, (int)first_h, (int)first_w,     \
            (int)stride_d, (int)stride_h, (int)stride_w                                   \
    }

// The taps from `first` on that are worked on at a time; their offsets into shared memory.
TL_INLINE Taps taps_from(int first, const Axes& axes, int* offsets) {
    const Taps taps(first, axes);
    if ((int)threadIdx.x < taps.count) offsets[threadIdx.x] = axes.offset(first + threadIdx.x);
    __syncthreads();
    return taps;
}

// Which part of a convolution a block has: of the filters, of the places, a group.
struct ProductBlock {
    int down, tile, group;

    TL_INLINE ProductBlock(uint32_t number, uint32_t count_down, uint32_t tiles) {
        down = number % count_down, number /= count_down;
        tile = number % tiles, group = number / tiles;
    }
};

// y[n, m, place] = Σ w[m, k] · x[n, k, place] + bias[m], k a column of the patches. Filters are rows
// of columns; of more than kMostTaps taps, all columns of the first kMostTaps come first.
template <int kRows, typename Sums, typename T>
TL_INLINE void convolve(const T* x, const T* w, const T* bias, T* y, Index images, Index groups,
                        Index channels, Index filters, const Axes& axes, const Target& target) {
    __shared__ __align__(16) Strip<T, kRows> a[2];
    __shared__ __align__(16) Strip<T, kStripColumns> b[2];
    __shared__ __align__(16) Column tables[8][16 / sizeof(T)];
    __shared__ int offsets[kMostTaps];
    __shared__ Index places[kStripColumns];  // as distances: of pointers it would be forgotten where to
    __shared__ uint32_t inside[kStripColumns];
    __shared__ Index results[kStripColumns];
    const uint32_t across = (uint32_t)((filters + kRows - 1) / kRows);
    const uint32_t tiles = (uint32_t)((images * axes.places() + kStripColumns - 1) / kStripColumns);
    if (threadIdx.x < kStripColumns) {  // a phase of a stride may have no taps
        const Patches<T> patches(x, images, 0, axes);
        const uint32_t number = ProductBlock(blockIdx.x, across, tiles).tile * kStripColumns + threadIdx.x;
        results[threadIdx.x] = target.result(patches, number, groups * filters);
    }
    Sums sums;
    sums.clear();
    // The loop over strips needs all registers: what is said about the block is computed again after it.
    for (int t = 0; t < axes.taps(); t += kMostTaps) {
        if (t > 0) __syncthreads();  // all have read the offsets of the taps before
        const ProductBlock block(computed_anew(blockIdx.x), across, tiles);
        if (threadIdx.x < kStripColumns) {  // once a place, of which four lanes take columns
            Axes same = axes;
            same.w.places = (int)computed_anew(axes.w.places);
            const Patches<T> patches(x + block.group * channels * axes.volume(), images,
                                     groups * channels * axes.volume(), same);
            const uint32_t number = block.tile * kStripColumns + threadIdx.x;
            const Place<T> place = patches.place(number, Taps(t, axes));
            places[threadIdx.x] = place.element - x, inside[threadIdx.x] = place.inside;
        }
        const Taps taps = taps_from(t, axes, offsets);
        const int count = (int)channels * taps.count;
        const Index every = channels * axes.taps(), m = block.down * kRows;
        const T* mine = w + (block.group * filters + m) * every + t * channels;
        const MatrixRows<T> rows(mine, every, filters - m, count);
        const int near = PatchRows<T>::row(0), far = PatchRows<T>::row(1);
        PatchRows<T> right{{{x + places[near], inside[near]}, {x + places[far], inside[far]}},
                           {offsets, count, (int)axes.volume(), Divisor(taps.count)},
                           tables[threadIdx.x / 32]};
        constexpr int depth = Strip<T, kRows>::kDepth;
        multiply_strips(sums, a, b, 0, (count + depth - 1) / depth, rows, right);
    }
    __syncthreads();
    const ProductBlock again(computed_anew(blockIdx.x), across, tiles);
    const Index volume = target.volume(), top = again.group * filters + again.down * kRows;
    const int left = (int)filters - again.down * kRows;
    y += top * volume;
    sums.each([&](auto s0, auto s1, int row, int column, int apart) {
        if (row >= left) return;
        const Acc<T> shift = bias ? Acc<T>(bias[top + row]) : Acc<T>(0);
        const Index to = results[column], second = results[column + apart];
        T* out = y + row * volume;
        if constexpr (sizeof(T) == 2) {
            if (to >= 0 && second == to + 1 && (uint64_t)(out + to) % 4 == 0) {
                *(uint32_t*)(out + to) = joined<T>(s0 + shift, s1 + shift);
                return;
            }
        }
        if (to >= 0) out[to] = T(s0 + shift);
        if (second >= 0) out[second] = T(s1 + shift);
    });
}

// Which part of the weights' gradient a block has: of rows, of columns, a group, a share of the places.
struct WeightBlock {
    int down, across, group;
    Index part;

    TL_INLINE WeightBlock(uint32_t number, int count_down, int count_across, int groups) {
        down = number % count_down, number /= count_down;
        across = number % count_across, number /= count_across;
        group = number % groups, part = number / groups;
    }
};

// partial[part][m, k] = Σ g[n, m, place] · x[n, k, place] over the part's share of all places.
template <int kRows, typename Sums, typename T>
TL_INLINE void correlate(const T* g, const T* x, Acc<T>* partial, Index images, Index groups,
                         Index channels, Index filters, const Axes& axes, Index parts) {
    __shared__ __align__(16) Strip<T, kRows> a[2];
    __shared__ __align__(16) Strip<T, kStripColumns> b[2];
    __shared__ Column table[kStripColumns];
    __shared__ int offsets[kMostTaps];
    constexpr int depth = Strip<T, kRows>::kDepth;
    const int every = (int)channels * axes.taps(), most = (int)channels * kMostTaps;
    const int tiles = (most + kStripColumns - 1) / kStripColumns;  // of the first taps' columns
    const int rest = every % most, whole = every / most;
    const int across = whole * tiles + (rest + kStripColumns - 1) / kStripColumns;
    const int down = (int)((filters + kRows - 1) / kRows);
    const WeightBlock mine(blockIdx.x, down, across, (int)groups);
    const int m = mine.down * kRows, tile = mine.across, group = mine.group;

    const Taps taps = taps_from(tile / tiles * kMostTaps, axes, offsets);
    const int first = tile % tiles * kStripColumns;
    const Columns columns{offsets, (int)channels * taps.count, (int)axes.volume(), Divisor(taps.count)};
    if (threadIdx.x < kStripColumns) table[threadIdx.x] = columns[first + threadIdx.x];
    __syncthreads();

    const Index places = axes.places();
    const Patches<T> patches(x + group * channels * axes.volume(), images,
                             groups * channels * axes.volume(), axes);
    const PlaceRows<T> left(g + (group * filters + m) * places, groups * filters * places, images,
                            filters - m, places);
    PatchColumns<T> right{patches, taps, table};
    Sums sums;
    sums.clear();
    const Share some = share((images * places + depth - 1) / depth, mine.part, parts);
    multiply_strips(sums, a, b, (int)some.first, (int)some.last, left, right);
    const WeightBlock again(computed_anew(blockIdx.x), down, across, (int)groups);
    const Index top = again.down * kRows;
    const int begin = again.across % tiles * kStripColumns;
    Acc<T>* out = partial + ((again.part * groups + again.group) * filters + top) * every;
    sums.each([&](auto s0, auto s1, int row, int column, int apart) {
        if (top + row >= filters) return;
#pragma unroll
        for (int k = 0; k < 2; ++k) {
            const int c = begin + column + k * apart;
            if (c >= columns.count) continue;
            const int channel = (int)columns.of_taps.quotient(c), tap = c - channel * taps.count;
            out[(Index)row * every + channel * axes.taps() + taps.first + tap] = k ? s1 : s0;
        }
    });
}

}  // namespace tl
