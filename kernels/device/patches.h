// What a convolution's product multiplies: for each place of an image the elements that the taps of a
// filter see there, in all channels. Nothing is written out: a lane has a place, and takes from the
// image what falls to it.
//
// On each axis, place p and tap t meet at p · step + origin + t · each. That is a convolution with
// step = stride, origin = -padding and each = dilation; and, for the places of one phase of the
// stride, its gradient by the image with step = 1 and each < 0 (see ops/compiled/convolution.py).
#pragma once

#include "divisor.h"
#include "strips.h"

namespace tl {

struct Axis {
    int size, places, taps, step, origin, each;

    TL_INLINE bool sees(int begin, int tap) const {
        return (uint32_t)(begin + tap * each) < (uint32_t)size;
    }
};

constexpr int kMostTaps = 32;  // at a time: the bits of a word

struct Axes {
    Axis d, h, w;

    TL_INLINE int taps() const { return d.taps * h.taps * w.taps; }
    TL_INLINE int places() const { return d.places * h.places * w.places; }
    TL_INLINE Index volume() const { return (Index)d.size * h.size * w.size; }
    // From a place's first element to the one at a tap.
    TL_INLINE int offset(int tap) const {
        const int l = tap % w.taps, j = tap / w.taps % h.taps, i = tap / w.taps / h.taps;
        return (i * d.each * h.size + j * h.each) * w.size + l * w.each;
    }
};

// The taps that are worked on at a time: `count` from a first one on, which is (i, j, l).
struct Taps {
    int first, count, i, j, l;

    TL_INLINE Taps(int first, const Axes& axes) : first(first) {
        const int left = axes.taps() - first;
        count = left < kMostTaps ? left : kMostTaps;
        l = first % axes.w.taps, j = first / axes.w.taps % axes.h.taps;
        i = first / axes.w.taps / axes.h.taps;
    }

    // Bit t: whether the tap lies in the image, at a place that begins at (z, y, x).
    TL_INLINE uint32_t inside(const Axes& axes, int z, int y, int x) const {
        uint32_t all = 0;
        if (axes.taps() <= kMostTaps) {  // a row of taps at a time
            uint32_t across = 0;
            for (int t = 0; t < axes.w.taps; ++t)
                across |= (uint32_t)axes.w.sees(x, t) << t;
            for (int d = 0, at = 0; d < axes.d.taps; ++d)
                for (int h = 0; h < axes.h.taps; ++h, at += axes.w.taps)
                    if (axes.d.sees(z, d) && axes.h.sees(y, h)) all |= across << at;
            return all;
        }
        int d = i, h = j, w = l;
        for (int t = 0; t < count; ++t) {
            all |= (uint32_t)(axes.d.sees(z, d) && axes.h.sees(y, h) && axes.w.sees(x, w)) << t;
            if (++w == axes.w.taps) {
                w = 0;
                if (++h == axes.h.taps) h = 0, ++d;
            }
        }
        return all;
    }
};

// A place: where the image's elements begin that it sees, and which taps are inside.
template <typename T>
struct Place {
    const T* element;
    uint32_t inside;
};

// A column of the patches, an element of a filter: how far behind a place's first element, and the
// bit of the tap that it belongs to, 0 for none.
struct Column {
    int offset;
    uint32_t tap;
};

// The patches of one group of channels.
template <typename T>
struct Patches {
    const T* image;  // the first of the group's channels
    uint32_t images;
    Index next_image;
    Axes axes;
    Divisor of_image, of_plane, of_row;

    TL_INLINE Patches(const T* image, Index images, Index next_image, const Axes& axes)
        : image(image), images((uint32_t)images), next_image(next_image), axes(axes),
          of_image(axes.places()), of_plane(axes.h.places * axes.w.places), of_row(axes.w.places) {}

    // A place by its number among those of all images.
    TL_INLINE Place<T> place(uint32_t number, const Taps& taps) const {
        const uint32_t n = of_image.quotient(number);
        if (n >= images) return {image, 0};
        const uint32_t within = number - n * of_image.by, i = of_plane.quotient(within);
        const uint32_t plane = within - i * of_plane.by, j = of_row.quotient(plane);
        const int z = (int)i * axes.d.step + axes.d.origin, y = (int)j * axes.h.step + axes.h.origin;
        const int x = (int)(plane - j * of_row.by) * axes.w.step + axes.w.origin;
        const Index first = ((Index)z * axes.h.size + y) * axes.w.size + x;
        return {image + n * next_image + first, taps.inside(axes, z, y, x)};
    }
};

// The columns of channels × taps, those of a channel side by side.
struct Columns {
    const int* offsets;  // of the taps, in shared memory
    int count, volume;
    Divisor of_taps;

    TL_INLINE Column operator[](int column) const {
        const int channel = (int)of_taps.quotient(column);
        const int tap = column - channel * (int)of_taps.by;
        if (column >= count) return {0, 0};
        return {channel * volume + offsets[tap], 1u << tap};
    }
};

template <typename T>
TL_INLINE T taken(const Place<T>& place, Column column) {
    return place.inside & column.tap ? place.element[column.offset] : T{};
}

// Rows of a matrix as strips, in chunks of 16 bytes where those are aligned. A lane copies the same
// chunk of every 64th row: what is said here is as that chunk of its first row sees it.
template <typename T>
struct MatrixRows {
    static constexpr int kPack = 16 / sizeof(T);
    const T* data;
    int next_row, rows, count;  // how far apart rows are; rows and elements of a row from here on
    bool in_packs;

    TL_INLINE MatrixRows(const T* all, Index next_row, Index rows, int count) : next_row((int)next_row) {
        const int row = threadIdx.x / 4, first = threadIdx.x % 4 * kPack;
        data = all + row * next_row + first;
        this->rows = (int)rows - row, this->count = count - first;
        in_packs = count % kPack == 0 && next_row % kPack == 0 && (uint64_t)all % 16 == 0;
    }

    template <int kRows>
    TL_INLINE void fill(Strip<T, kRows>& strip, int s) const {
        constexpr int depth = Strip<T, kRows>::kDepth;
        if (kRows < 64 && (int)threadIdx.x / 4 >= kRows) return;
        const T* source = data + s * depth;
        const int left = count - s * depth;
        T* target = strip.at(threadIdx.x / 4, threadIdx.x % 4);  // 64 rows on, the permutation is the same
#pragma unroll
        for (int row = 0; row < kRows; row += 64, source += (Index)64 * next_row, target += 64 * depth) {
            const bool inside = row < rows && left > 0;
            if (inside && in_packs) {
                copy_ahead(target, source);
            } else {
                for (int e = 0; e < kPack; ++e) target[e] = inside && e < left ? source[e] : T{};
            }
        }
    }
};

// Patches as the right operand of a product over their columns: a row of the strip is a place.
template <typename T>
struct PatchRows {
    static constexpr int kPack = 16 / sizeof(T);
    Place<T> places[2];
    Columns columns;
    Column* table;  // of the warp
    T value[2][kPack];

    TL_INLINE static int row(int half) {
        return (int)threadIdx.x / 128 * 32 + threadIdx.x % 32 + half * 64;
    }
    TL_INLINE static int chunk() { return (int)threadIdx.x / 32 % 4; }

    template <int half>
    TL_INLINE void load(int s) {
        const int lane = threadIdx.x % 32;
        if (half == 0) {
            __syncwarp();
            if (lane < kPack) table[lane] = columns[(s * 4 + chunk()) * kPack + lane];
            __syncwarp();
        }
#pragma unroll
        for (int e = 0; e < kPack; ++e) value[half][e] = taken(places[half], table[e]);
    }
    template <int half>
    TL_INLINE void store(Strip<T, kStripColumns>& strip) const {
        struct alignas(16) Chunk { T value[kPack]; };
        *(Chunk*)strip.at(row(half), chunk()) = *(const Chunk*)value[half];
    }
};

// Patches as the right operand of a product over their places: a row of the strip is a column.
template <typename T>
struct PatchColumns {
    static constexpr int kDepth = kStripBytes / sizeof(T), kEach = kDepth / 2;
    const Patches<T>& patches;
    Taps taps;
    const Column* table;  // of the block
    T value[kEach];

    TL_INLINE static int first() {  // of the lane's columns
        return (int)threadIdx.x / 32 * 16 + threadIdx.x % 32 / kDepth * kEach;
    }

    // All of them in the first half of the time; the places of another half would cost as much again.
    template <int half>
    TL_INLINE void load(int s) {
        if (half == 1) return;
        const Place<T> place = patches.place(s * kDepth + threadIdx.x % kDepth, taps);
#pragma unroll
        for (int e = 0; e < kEach; ++e) value[e] = taken(place, table[first() + e]);
    }
    template <int half>
    TL_INLINE void store(Strip<T, kStripColumns>& strip) const {
        if (half == 0) return;
#pragma unroll
        for (int e = 0; e < kEach; ++e) strip.of(first() + e, threadIdx.x % kDepth) = value[e];
    }
};

// What filters gave, (N, G·O, P), as the left operand of a product over all places.
template <typename T>
struct PlaceRows {
    const T* data;  // the first row's
    Index next_image;
    uint32_t images;
    int rows;
    Divisor places;
    bool in_packs;

    TL_INLINE PlaceRows(const T* data, Index next_image, Index images, Index rows, Index places)
        : data(data), next_image(next_image), images((uint32_t)images), rows((int)rows), places(places) {
        in_packs = places % (16 / sizeof(T)) == 0 && (uint64_t)data % 16 == 0;
    }

    template <int kRows>
    TL_INLINE void fill(Strip<T, kRows>& strip, int s) const {
        constexpr int pack = Strip<T, kRows>::kPack, depth = Strip<T, kRows>::kDepth;
        if (in_packs) {
#pragma unroll
            for (int i = threadIdx.x; i < kRows * 4; i += kStripThreads) {
                const uint32_t first = s * depth + i % 4 * pack, n = places.quotient(first);
                const int row = i / 4;
                T* target = strip.at(row, i % 4);
                if (row < rows && n < images)
                    copy_ahead(target, data + n * next_image + (Index)row * places.by + (first - n * places.by));
                else
                    for (int e = 0; e < pack; ++e) target[e] = T{};
            }
        } else {
            const uint32_t number = s * depth + threadIdx.x % depth, n = places.quotient(number);
            const T* source = data + n * next_image + (number - n * places.by);
#pragma unroll
            for (int row = threadIdx.x / depth; row < kRows; row += kStripThreads / depth)
                strip.of(row, threadIdx.x % depth) =
                    row < rows && n < images ? source[(Index)row * places.by] : T{};
        }
    }
};

}  // namespace tl
