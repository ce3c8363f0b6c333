// The largest elements of windows, on the CPU: row by row, in vectors where windows are two columns apart.
#pragma once

#include <algorithm>

#include "host/workspace.h"
#include "windows.h"

namespace tl {

// Outputs begin … end - 1 of a row: each tap of their windows is compared for all of them at once.
template <typename T>
void largest_of_row(const T* volume, T* y, int* where, const Span& layers, const Span& rows,
                    Place begin, Place end, const Axes<PoolAxis>& of) {
    const PoolAxis& across = of.across;
    const Place first = (layers.first * of.down.in + rows.first) * across.in;
    for (Place i = begin; i < end; ++i) where[i] = int(first + across.first_inside(i));
    for (Place z = layers.first; z < layers.last; z += layers.step)
        for (Place v = rows.first; v < rows.last; v += rows.step)
            for (Place tap = 0; tap < across.kernel; ++tap) {
                const Place row = (z * of.down.in + v) * across.in;
                const Place left = row + tap * across.dilation - across.pad;
                const Place last = std::min(end, across.last_holding(tap));
                for (Place i = std::max(begin, across.first_holding(tap)); i < last; ++i) {
                    const int at = int(left + i * across.stride);
                    const Acc<T> value = volume[at], peak = volume[where[i]];
                    // Of integers, so that there is no branch to mispredict.
                    where[i] = ((value > peak) | (value != value)) ? at : where[i];
                }
            }
    for (Place i = begin; i < end; ++i) y[i] = volume[where[i]];
}

template <int... lane>
struct Lanes {
    static constexpr int count = sizeof...(lane);
    typedef float Floats __attribute__((vector_size(4 * sizeof...(lane)), aligned(4), may_alias));
    typedef int Ints __attribute__((vector_size(4 * sizeof...(lane)), aligned(4), may_alias));

    // from[0], from[2], … or, if `odd`, from[1], from[3], …
    template <int odd>
    static TL_INLINE Floats every_second(const float* from) {
        return __builtin_shufflevector(*(const Floats*)from, *(const Floats*)(from + count),
                                       (2 * lane + odd)...);
    }

    // As many neighbouring windows of size × size, two columns apart, which lie inside; x is at the
    // first. The compiler would leave every second vector of such a loop to single elements.
    template <int size>
    static TL_INLINE void largest(const float* x, int at, Place width, float* y, int* where) {
        Floats peak = every_second<0>(x);
        const Ints columns = Ints{(2 * lane)...} + at;
        Ints found = columns;
        TL_UNROLL
        for (int v = 0; v < size; ++v)
            TL_UNROLL
            for (int h = 0; h < size; ++h) {
                const float* row = x + v * width;
                const Floats value = h ? every_second<1>(row + h - 1) : every_second<0>(row);
                const Ints larger = (value > peak) | (value != value);
                peak = larger ? value : peak;
                found = larger ? columns + int(v * width + h) : found;
            }
        *(Floats*)y = peak;
        *(Ints*)where = found;
    }
};
using EightLanes = Lanes<0, 1, 2, 3, 4, 5, 6, 7>;
using FourLanes = Lanes<0, 1, 2, 3>;

// `count` such windows, at least as many as there are lanes: the last vector may overlap another.
template <int size, typename L>
TL_INLINE void largest_inside(const float* x, int at, Place width, float* y, int* where, Place count) {
    for (Place i = 0; i < count; i += L::count) {
        const Place from = std::min(i, count - L::count);
        L::template largest<size>(x + 2 * from, int(at + 2 * from), width, y + from, where + from);
    }
}

// `size` is that of windows in one layer and two columns apart, or 0 for any others.
template <int size, typename T>
void largest_by_rows(const T* x, T* y, int* index, Index volumes, const Axes<PoolAxis>& of) {
    const PoolAxis& across = of.across;
    const Index height = of.down.out, columns = across.out, grain = kGrain / 8 / (columns + 1) + 1;
    const Place begin = size ? across.first_holding(0) : 0;
    const Place inside = size ? across.last_holding(size - 1) - begin : 0;
    parallel_range(volumes * of.deep.out * height, grain, [=](Index first, Index last) {
        Workspace<int> unwanted(columns);
        Place r = first % height, z = first / height % of.deep.out;
        const T* volume = x + first / height / of.deep.out * of.in();
        Span layers = of.deep.inside(z);
        for (Index row = first; row < last; ++row, ++r) {
            if (r == height) {
                r = 0, ++z;
                if (z == of.deep.out) z = 0, volume += of.in();
                layers = of.deep.inside(z);
            }
            const Span rows = of.down.inside(r);
            int* where = index ? index + row * columns : (int*)unwanted;
            T* to = y + row * columns;
            Place done = 0;
            if constexpr (size > 0) {
                const Place top = layers.first * of.down.in + rows.first;
                const Place at = top * across.in + 2 * begin - across.pad;
                if (inside >= FourLanes::count && rows.length() == size && layers.length() == 1) {
                    auto fill = inside >= EightLanes::count ? largest_inside<size, EightLanes>
                                                            : largest_inside<size, FourLanes>;
                    fill(volume + at, int(at), across.in, to + begin, where + begin, inside);
                    if (begin) largest_of_row(volume, to, where, layers, rows, 0, begin, of);
                    done = begin + inside;
                }
            }
            if (done < columns) largest_of_row(volume, to, where, layers, rows, done, columns, of);
        }
    });
}

}  // namespace tl
