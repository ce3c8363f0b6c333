// Convolution with 3×3 filters, stride 1, on the host: Winograd's F(4×4, 3×3), float.
//
//     y = Aᵀ [ (G w Gᵀ) ⊙ (Bᵀ d B) ] A      (Lavin and Gray, 2016, arXiv:1509.09308)
//
// computes 4×4 outputs from a 6×6 patch d with 36 multiplications in place of 144. Summed over the
// channels the 36 products are 36 matrix products. Inside, data lie channels-last, so that the
// transforms run on vectors of channels; images are transposed on the way in and out. The error is
// about 1e-5 of the largest value.
#pragma once

#include "host/gemm.h"

namespace tl::winograd {

constexpr int kOutput = 4, kPatch = 6, kPoints = kPatch * kPatch;
constexpr int kLanes = kVectorBytes / 4;
typedef float Lanes __attribute__((vector_size(4 * kLanes), aligned(4), may_alias));
typedef float HeldLanes __attribute__((vector_size(4 * kLanes)));  // in a variable of its own

constexpr Index kBlockTiles =
    48;  // tiles transformed together: with their channels they fit the second-level cache
constexpr Index kBlockFilters = 32;      // filters multiplied and transformed back together
constexpr Index kChunkFloats = 1 << 20;  // what the weight gradient keeps of transformed tiles

inline Lanes lanes_at(const float* p) { return *(const Lanes*)p; }
inline void store_lanes(float* p, Lanes value) { *(Lanes*)p = value; }

// ---- The four transforms along one axis; each is applied down the columns, then along the rows 

struct InputTransform {  // Bᵀ
    static constexpr int from = 6, to = 6;
    template <typename V>
    static void apply(const V* d, V* r) {
        const V even = d[4] - 4 * d[2], odd = d[3] - 4 * d[1];
        const V even2 = d[4] - d[2], odd2 = 2 * (d[3] - d[1]);
        r[0] = 4 * d[0] - 5 * d[2] + d[4];
        r[1] = even + odd;
        r[2] = even - odd;
        r[3] = even2 + odd2;
        r[4] = even2 - odd2;
        r[5] = 4 * d[1] - 5 * d[3] + d[5];
    }
};

struct OutputTransform {  // Aᵀ
    static constexpr int from = 6, to = 4;
    template <typename V>
    static void apply(const V* m, V* r) {
        const V sum = m[1] + m[2], difference = m[1] - m[2];
        const V sum2 = m[3] + m[4], difference2 = m[3] - m[4];
        r[0] = m[0] + sum + sum2;
        r[1] = difference + 2 * difference2;
        r[2] = sum + 4 * sum2;
        r[3] = difference + 8 * difference2 + m[5];
    }
};

struct GradientTransform {  // A
    static constexpr int from = 4, to = 6;
    template <typename V>
    static void apply(const V* g, V* r) {
        const V even = g[0] + g[2], odd = g[1] + g[3];
        const V even2 = g[0] + 4 * g[2], odd2 = 2 * g[1] + 8 * g[3];
        r[0] = g[0];
        r[1] = even + odd;
        r[2] = even - odd;
        r[3] = even2 + odd2;
        r[4] = even2 - odd2;
        r[5] = g[3];
    }
};

struct FilterTransform {  // G
    static constexpr int from = 3, to = 6;
    template <typename V>
    static void apply(const V* w, V* r) {
        const V even = (w[0] + w[2]) * (-1.0f / 6), odd = w[1] * (1.0f / 6);
        const V even2 = w[0] * (1.0f / 24) + w[2] * (1.0f / 6), odd2 = w[1] * (1.0f / 12);
        r[0] = w[0] * 0.25f;
        r[1] = even - odd;
        r[2] = even + odd;
        r[3] = even2 + odd2;
        r[4] = even2 - odd2;
        r[5] = w[2];
    }
};

struct FilterGradientTransform {  // Gᵀ
    static constexpr int from = 6, to = 3;
    template <typename V>
    static void apply(const V* u, V* r) {
        const V sum = u[1] + u[2], sum2 = u[3] + u[4];
        r[0] = u[0] * 0.25f - sum * (1.0f / 6) + sum2 * (1.0f / 24);
        r[1] = (u[2] - u[1]) * (1.0f / 6) + (u[3] - u[4]) * (1.0f / 12);
        r[2] = (sum2 - sum) * (1.0f / 6) + u[5];
    }
};

// store(i, j, value) for the elements of Transform · d · Transformᵀ, where load(i, j) gives d's.
// Written out and in its place: a loop, and a call with what the two refer to, go through memory.
template <typename Transform, typename Load, typename Store>
TL_WIDE TL_INLINE void transform(Load load, Store store) {
    constexpr int from = Transform::from, to = Transform::to;
    HeldLanes half[from][to];  // transposed: half[j] is the transform of column j
    TL_UNROLL
    for (int j = 0; j < from; j++) {
        HeldLanes column[from];
        TL_UNROLL
        for (int i = 0; i < from; i++) column[i] = load(i, j);
        Transform::apply(column, half[j]);
    }
    TL_UNROLL
    for (int i = 0; i < to; i++) {
        HeldLanes row[from], result[to];
        TL_UNROLL
        for (int j = 0; j < from; j++) row[j] = half[j][i];
        Transform::apply(row, result);
        TL_UNROLL
        for (int j = 0; j < to; j++) store(i, j, result[j]);
    }
}

// ---- Transposing between channels-first and channels-last -------------------------------------

// to[j][i] = from[i][j], in squares of `lanes`, the rest in smaller ones.
template <int lanes = kLanes>
TL_WIDE inline void transpose(Index rows, Index cols, const float* from, Index from_stride,
                              float* to, Index to_stride) {
    if constexpr (lanes < 4) {
        for (Index i = 0; i < rows; i++)
            for (Index j = 0; j < cols; j++) to[j * to_stride + i] = from[i * from_stride + j];
    } else {
        typedef float Unaligned __attribute__((vector_size(4 * lanes), aligned(4), may_alias));
        typedef float Held __attribute__((vector_size(4 * lanes)));
        const Index whole_rows = rows / lanes * lanes, whole_cols = cols / lanes * lanes;
        for (Index i = 0; i < whole_rows; i += lanes)
            for (Index j = 0; j < whole_cols; j += lanes) {
                Held block[lanes];
                TL_UNROLL
                for (int r = 0; r < lanes; r++)
                    block[r] = *(const Unaligned*)(from + (i + r) * from_stride + j);
                transpose_lanes<lanes>(block);
                TL_UNROLL
                for (int r = 0; r < lanes; r++)
                    *(Unaligned*)(to + (j + r) * to_stride + i) = block[r];
            }
        if (whole_cols < cols)
            transpose<lanes / 2>(whole_rows, cols - whole_cols, from + whole_cols, from_stride,
                                 to + whole_cols * to_stride, to_stride);
        if (whole_rows < rows)
            transpose<lanes / 2>(rows - whole_rows, cols, from + whole_rows * from_stride,
                                 from_stride, to + whole_rows, to_stride);
    }
}

// ---- Images as rows of tiles ------------------------------------------------------------------

// A strip is one row of tiles of one image. `images` × (channels, height, width), read as tiles of
// `size` rows and columns that start every four pixels, the first at (-pad_h, -pad_w).
struct Strips {
    Index channels, height, width, pad_h, pad_w;
    Index rows, tiles;  // rows of tiles an image, tiles a row
    int size;

    Index lanes() const { return round_up(channels, kTileCols<float>); }
    // Points of `count` strips lie this far apart: not a multiple of the page, which the cache's
    // sets repeat in.
    Index point_stride(Index count) const { return count * tiles * lanes() + kTileCols<float>; }
    Index staged_width() const { return (tiles - 1) * kOutput + size; }

    // The pixels under strip `s`, channels last, zero outside the image.
    void stage(const float* x, Index s, float* staged) const {
        const float* image = x + s / rows * channels * height * width;
        const Index top = s % rows * kOutput - pad_h, row_floats = staged_width() * lanes();
        const Index first = std::max<Index>(0, -pad_w);
        const Index before = std::clamp<Index>(pad_w, 0, staged_width());
        const Index inside = std::clamp<Index>(width - first, 0, staged_width() - before);
        for (Index r = 0; r < size; r++, staged += row_floats) {
            const bool is_outside = top + r < 0 || top + r >= height;
            float* from_first = staged + before * lanes();
            float* after = from_first + inside * lanes();
            if (is_outside || channels < lanes()) {
                std::fill_n(staged, row_floats, 0.0f);
            } else {
                std::fill(staged, from_first, 0.0f);
                std::fill(after, staged + row_floats, 0.0f);
            }
            if (!is_outside)
                transpose(channels, inside, image + (top + r) * width + first, height * width,
                          from_first, lanes());
        }
    }

    // Transforms strip `s`: point (i, j) of tile t goes to out[(i * 6 + j) * point_stride + t *
    // lanes()].
    template <typename Transform>
    void transformed(const float* x, Index s, float* staged, float* out, Index point_stride) const {
        const Index lanes = this->lanes(), row_floats = staged_width() * lanes;
        stage(x, s, staged);
        for (Index t = 0; t < tiles; t++)
            for (Index c = 0; c < lanes; c += kLanes) {
                const float* patch = staged + t * kOutput * lanes + c;
                float* target = out + t * lanes + c;
                transform<Transform>(
                    [&](int i, int j) { return lanes_at(patch + i * row_floats + j * lanes); },
                    [&](int i, int j, Lanes v) {
                        store_lanes(target + (i * kPatch + j) * point_stride, v);
                    });
            }
    }
};

inline Index filter_floats(Index channels, Index outputs) {
    return kPoints * channels * round_up(outputs, kTileCols<float>);
}

// Filters in the transformed space, as panels of B: [point][panel of filters][channel][kTileCols].
// Tap k of the filter from channel c to output o is w[c * channel_stride + o * output_stride + k].
inline void transform_filters(const float* w, Index channels, Index outputs, Index channel_stride,
                              Index output_stride, bool flipped, float* u) {
    constexpr Index width = kTileCols<float>;
    const Index padded = round_up(outputs, width);
    parallel(padded / width, [&](Index panel) {
        for (Index c = 0; c < channels; c++)
            for (Index o = panel * width; o < (panel + 1) * width; o += kLanes) {
                float* target = u + panel * width * channels + c * width + o % width;
                transform<FilterTransform>(
                    [&](int i, int j) {
                        const int tap = flipped ? 8 - (3 * i + j) : 3 * i + j;
                        Lanes v{};
                        for (int l = 0; l < kLanes && o + l < outputs; l++)
                            v[l] = w[c * channel_stride + (o + l) * output_stride + tap];
                        return v;
                    },
                    [&](int i, int j, Lanes v) {
                        store_lanes(target + (i * kPatch + j) * padded * channels, v);
                    });
            }
    });
}

// y (images, outputs, out_h, out_w) = bias + x convolved with filters already transformed.
inline void convolve(Index images, const Strips& in, const float* x, const float* u, Index outputs,
                     Index out_h, Index out_w, const float* bias, float* y) {
    constexpr Index width = kTileCols<float>;
    const Index strips = images * in.rows, padded = round_up(outputs, width);
    const Index per_block = std::max<Index>(1, kBlockTiles / in.tiles);
    Workspace<float> shifts(padded);  // the bias, filled up with zeros
    std::fill_n((float*)shifts, padded, 0.0f);
    if (bias) std::copy_n(bias, outputs, (float*)shifts);
    parallel(ceil_div(strips, per_block), [&](Index block) {
        const Index first = block * per_block, count = std::min(per_block, strips - first);
        const Index tiles = count * in.tiles, lanes = in.lanes();
        const Index v_stride = in.point_stride(count), m_stride = tiles * kBlockFilters + width;
        Workspace<float> v(kPoints * v_stride), m(kPoints * m_stride);
        Workspace<float> staged(kPatch * in.staged_width() * std::max(lanes, kBlockFilters));
        for (Index s = 0; s < count; s++)
            in.transformed<InputTransform>(x, first + s, staged, v + s * in.tiles * lanes,
                                           v_stride);
        for (Index o = 0; o < padded; o += kBlockFilters) {
            const Index filters = std::min(kBlockFilters, padded - o),
                        wanted = std::min(filters, outputs - o);
            for (Index point = 0; point < kPoints; point++)
                block_product<float>(
                    tiles, filters, in.channels,
                    {v + point * v_stride, kTileRows * lanes, 1, lanes},
                    {u + (point * padded + o) * in.channels, width * in.channels, width, 1},
                    m + point * m_stride, filters, {});
            for (Index s = 0; s < count; s++) {
                const Index row_floats = in.tiles * kOutput * filters;
                for (Index t = 0; t < in.tiles; t++)
                    for (Index f = 0; f < filters; f += kLanes) {
                        const float* from = m + (s * in.tiles + t) * filters + f;
                        float* to = staged + t * kOutput * filters + f;
                        const HeldLanes shift = lanes_at(shifts + o + f);
                        transform<OutputTransform>(
                            [&](int i, int j) {
                                return lanes_at(from + (i * kPatch + j) * m_stride);
                            },
                            [&](int i, int j, Lanes r) {
                                store_lanes(to + i * row_floats + j * filters, r + shift);
                            });
                    }
                const Index strip = first + s, top = strip % in.rows * kOutput;
                float* image = y + (strip / in.rows * outputs + o) * out_h * out_w;
                for (Index r = 0; r < kOutput && top + r < out_h; r++)
                    transpose(out_w, wanted, staged + r * row_floats, filters,
                              image + (top + r) * out_w, out_h * out_w);
            }
        }
    });
}

// dw (outputs, channels, 3, 3) from the input x and the output's gradient g.
inline void weight_gradient(Index images, const Strips& in, const float* x, const Strips& out,
                            const float* g, float* dw) {
    const Index strips = images * in.rows, channels = in.lanes(), outputs = out.lanes();
    const Index chunk_tiles = std::max<Index>(64, kChunkFloats / (kPoints * (channels + outputs)));
    const Index chunk = std::min(strips, std::max<Index>(1, chunk_tiles / in.tiles));
    const Index v_stride = in.point_stride(chunk), m_stride = out.point_stride(chunk);
    Workspace<float> v(kPoints * v_stride), m(kPoints * m_stride), u(kPoints * outputs * channels);
    for (Index first = 0; first < strips; first += chunk) {
        const Index count = std::min(chunk, strips - first);
        parallel(count, [&](Index s) {
            Workspace<float> staged(kPatch * in.staged_width() * std::max(channels, outputs));
            in.transformed<InputTransform>(x, first + s, staged, v + s * in.tiles * channels,
                                           v_stride);
            out.transformed<GradientTransform>(g, first + s, staged, m + s * in.tiles * outputs,
                                               m_stride);
        });
        parallel(kPoints, [&](Index point) {
            float* sum = u + point * outputs * channels;
            block_product<float>(outputs, channels, count * in.tiles,
                                 {m + point * m_stride, kTileRows, outputs, 1},
                                 {v + point * v_stride, kTileCols<float>, channels, 1}, sum,
                                 channels, {first > 0 ? sum : nullptr, channels});
        });
    }
    parallel(out.channels, [&](Index o) {
        for (Index c = 0; c < in.channels; c += kLanes) {
            const float* from = u + o * channels + c;
            float* to = dw + (o * in.channels + c) * 9;
            transform<FilterGradientTransform>(
                [&](int i, int j) {
                    return lanes_at(from + (i * kPatch + j) * outputs * channels);
                },
                [&](int i, int j, Lanes r) {
                    for (int l = 0; l < kLanes && c + l < in.channels; l++)
                        to[l * 9 + 3 * i + j] = r[l];
                });
        }
    });
}

}  // namespace tl::winograd
