// The matrix product of the host kernels: C = A·B, C += A·B or C = bias + A·B, float and double.
//
// Operands carry a row and a column stride, so a transpose is two swapped numbers and never a copy.
// The structure is that of Goto and van de Geijn (2008): a micro-kernel holds a small tile of C in
// registers, B is cut into panels as wide as the tile that stay in the first-level cache, blocks of
// A stay in the second-level one. Both are packed, except where they are too small to repay it.
// Every element of C is summed in the same order whatever the number of threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "host/pool.h"
#include "workspace.h"

namespace tl {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64, kTileRows = 12, kTileVectors = 2;
#elif defined(__AVX__)
constexpr int kVectorBytes = 32, kTileRows = 6, kTileVectors = 2;
#else  // NEON and SSE: rows × vectors + vectors + 1 registers of 32 and of 16
constexpr int kVectorBytes = 16, kTileRows = 6, kTileVectors = 2;
#endif

template <class T>
struct Simd {
    static constexpr int lanes = kVectorBytes / sizeof(T);
    typedef T vector __attribute__((vector_size(kVectorBytes), aligned(sizeof(T)), may_alias));
};

template <class T>
constexpr int kTileCols = kTileVectors * Simd<T>::lanes;

// What a block works on: kDepth × kTileCols of B in the first-level cache, kBlockRows × kDepth of A
// in the second.
constexpr Index kDepth = 384, kBlockRows = 24 * kTileRows;
// Multiply-adds below which one thread is faster than waking another.
constexpr Index kSerialWork = 400000;

// A read-only matrix: element (i, j) is data[i * row_stride + j * col_stride].
template <class T>
struct Matrix {
    const T* data;
    Index row_stride, col_stride;

    Matrix transposed() const { return {data, col_stride, row_stride}; }
    Matrix at(Index i, Index j) const {
        return {data + i * row_stride + j * col_stride, row_stride, col_stride};
    }
};

template <class T>
struct Product {
    Index rows, cols, depth;
    Matrix<T> a, b;
    T* c;
    Index c_stride;
    bool accumulate = false;      // C += A·B
    const T* row_bias = nullptr;  // one per row of C
    const T* col_bias = nullptr;  // one per column of C
};

// An operand cut into panels one tile thick: element e of panel t at depth p is
// data[t * panel + p * depth_stride + e * stride].
template <class T>
struct Panels {
    const T* data;
    Index panel, depth_stride, stride;
};

// Copies `count` × `depth` elements, (e, p) at from[e * stride + p * depth_stride], into panels of
// `width`; the last is filled up with zeros.
template <int width, class T>
Panels<T> pack(Index count, Index depth, const T* __restrict__ from, Index stride,
               Index depth_stride, T* __restrict__ to) {
    constexpr Index together = 4;  // panels read side by side, so that a visit to a row is worth it
    const Index whole = stride == 1 ? count / (together * width) * (together * width) : 0;
    for (Index start = 0; start < whole; start += together * width)
        for (Index p = 0; p < depth; p++)
            for (Index panel = 0; panel < together; panel++)
                for (int e = 0; e < width; e++)
                    to[(start + panel * width) * depth + p * width + e] =
                        from[start + panel * width + e + p * depth_stride];
    for (Index start = whole; start < count; start += width) {
        const T* source = from + start * stride;
        T* panel = to + start * depth;
        const Index filled = std::min<Index>(width, count - start);
        if (filled < width)
            for (Index p = 0; p < depth; p++)
                for (int e = 0; e < width; e++)
                    panel[p * width + e] =
                        e < filled ? source[e * stride + p * depth_stride] : T(0);
        else
            for (Index p = 0; p < depth; p++)
                for (int e = 0; e < width; e++)
                    panel[p * width + e] = source[e * stride + p * depth_stride];
    }
    return {to, width * depth, width, 1};
}

// One tile of C in registers: `rows` × kTileCols, c = begin + a·b, where begin may be null, c
// itself or a bias.
template <int rows, class T>
void tile_product(Index depth, Panels<T> a, const T* b, Index b_stride, const T* begin,
                  Index begin_stride, T* c, Index c_stride) {
    using V = typename Simd<T>::vector;
    constexpr int lanes = Simd<T>::lanes;
    V sum[rows][kTileVectors];
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < kTileVectors; j++)
            sum[i][j] = begin ? *(const V*)(begin + i * begin_stride + j * lanes) : V{};
    for (Index p = 0; p < depth; p++) {
        V row[kTileVectors];
#pragma GCC unroll 4
        for (int j = 0; j < kTileVectors; j++) row[j] = *(const V*)(b + j * lanes);
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
            for (int j = 0; j < kTileVectors; j++) sum[i][j] += a.data[i * a.stride] * row[j];
        a.data += a.depth_stride;
        b += b_stride;
    }
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < kTileVectors; j++) *(V*)(c + i * c_stride + j * lanes) = sum[i][j];
}

template <class T, int... fewer>
void tile_product(int rows, std::integer_sequence<int, fewer...>, Index depth, Panels<T> a,
                  const T* b, Index b_stride, const T* begin, Index begin_stride, T* c,
                  Index c_stride) {
    static constexpr decltype(&tile_product<1, T>) of_rows[] = {tile_product<fewer + 1, T>...};
    of_rows[rows - 1](depth, a, b, b_stride, begin, begin_stride, c, c_stride);
}

// What a block of C starts from: zeros, what it holds, or a bias for its rows or its columns.
template <class T>
struct Start {
    bool accumulate = false;
    const T *row_bias = nullptr, *col_bias = nullptr;
};

// C (rows × cols) from panels of A and B. Where cols is not a multiple of the tile, B's last panel
// must be readable to its full width.
template <class T>
void block_product(Index rows, Index cols, Index depth, Panels<T> a, Panels<T> b, T* c,
                   Index c_stride, Start<T> start) {
    constexpr int width = kTileCols<T>;
    constexpr std::make_integer_sequence<int, kTileRows> heights;
    for (Index j = 0; j < cols; j += width, b.data += b.panel) {
        const Index filled = std::min<Index>(width, cols - j);
        Panels<T> a_panel = a;
        for (Index i = 0; i < rows; i += kTileRows, a_panel.data += a.panel) {
            const int height = std::min<Index>(kTileRows, rows - i);
            T* target = c + i * c_stride + j;
            T spread[kTileRows * width], edge[kTileRows * width];
            const T* begin = start.accumulate ? target
                             : start.col_bias ? start.col_bias + j
                                              : nullptr;
            Index begin_stride = start.accumulate ? c_stride : 0;
            if (start.row_bias) {
                for (int r = 0; r < height; r++)
                    std::fill_n(spread + r * width, width, start.row_bias[i + r]);
                begin = spread, begin_stride = width;
            }
            if (filled == width) {
                tile_product(height, heights, depth, a_panel, b.data, b.depth_stride, begin,
                             begin_stride, target, c_stride);
                continue;
            }
            for (int r = 0; begin && r < height; r++)
                std::copy_n(begin + r * begin_stride, filled, edge + r * width);
            tile_product(height, heights, depth, a_panel, b.data, b.depth_stride,
                         begin ? edge : nullptr, width, edge, width);
            for (int r = 0; r < height; r++)
                std::copy_n(edge + r * width, filled, target + r * c_stride);
        }
    }
}

inline Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }
inline Index round_up(Index a, Index b) { return ceil_div(a, b) * b; }

// How C is cut into blocks: a few a thread, so that a late thread costs little. Rows are divided
// first, since every block packs its own rows of A.
struct Blocks {
    Index rows, cols;

    template <class T>
    static Blocks of(const Product<T>& p, Index threads) {
        constexpr Index width = kTileCols<T>, least_rows = 4 * kTileRows, least_cols = 4 * width;
        if (threads == 1) return {std::min(p.rows, kBlockRows), p.cols};
        const Index wanted = 4 * threads;
        const Index even_rows = round_up(ceil_div(p.rows, wanted), kTileRows);
        const Index rows = std::min(p.rows, std::clamp(even_rows, least_rows, kBlockRows));
        const Index across = ceil_div(wanted, ceil_div(p.rows, rows));
        return {rows, std::max(round_up(ceil_div(p.cols, across), width), least_cols)};
    }
};

// C += A·B for one block of C and a slice of the depth. B's panels below `in_place` are read where
// they are, those from there on from `packed_b`.
template <class T>
void multiply_block(const Product<T>& slice, Index in_place, const T* packed_b, Start<T> start) {
    constexpr Index width = kTileCols<T>;
    const Matrix<T>&a = slice.a, &b = slice.b;
    const bool pack_a = slice.cols > 4 * width;
    Workspace<T> packed_a(pack_a ? round_up(slice.rows, kTileRows) * slice.depth : 0);
    Panels<T> rows{a.data, kTileRows * a.row_stride, a.col_stride, a.row_stride};
    if (pack_a)
        rows = pack<kTileRows, T>(slice.rows, slice.depth, a.data, a.row_stride, a.col_stride,
                                  packed_a);
    const Index direct = std::min(in_place * width, slice.cols);
    block_product<T>(slice.rows, direct, slice.depth, rows, {b.data, width, b.row_stride, 1},
                     slice.c, slice.c_stride, start);
    if (start.col_bias) start.col_bias += direct;
    block_product<T>(slice.rows, slice.cols - direct, slice.depth, rows,
                     {packed_b, width * slice.depth, width, 1}, slice.c + direct, slice.c_stride,
                     start);
}

template <class T>
void gemm(const Product<T>& p) {
    constexpr Index width = kTileCols<T>;
    if (p.rows == 0 || p.cols == 0) return;
    const Index threads = p.rows * p.cols * p.depth < kSerialWork ? 1 : num_threads();
    const Blocks block = Blocks::of(p, threads);
    const Index down = ceil_div(p.rows, block.rows), across = ceil_div(p.cols, block.cols);

    // B is read in place where its rows are contiguous and too few rows of A share the cost of a
    // copy; but for a last panel that is not whole.
    const bool pack_b = p.b.col_stride != 1 || p.rows > 4 * kTileRows;
    const Index panels = ceil_div(p.cols, width), in_place = pack_b ? 0 : p.cols / width;
    Workspace<T> packed_b((panels - in_place) * width * std::min(p.depth, kDepth));

    for (Index start = 0; start == 0 || start < p.depth; start += kDepth) {
        const Index depth = std::min(kDepth, p.depth - start);
        auto pack_panels = [&](Index first, Index last) {
            const Matrix<T> from = p.b.at(start, first * width);
            pack<width, T>(std::min(last * width, p.cols) - first * width, depth, from.data,
                           from.col_stride, from.row_stride,
                           packed_b + (first - in_place) * width * depth);
        };
        auto multiply = [&](Index i) {
            const Index row = i / across * block.rows, col = i % across * block.cols;
            const Product<T> slice{std::min(block.rows, p.rows - row),
                                   std::min(block.cols, p.cols - col),
                                   depth,
                                   p.a.at(row, start),
                                   p.b.at(start, col),
                                   p.c + row * p.c_stride + col,
                                   p.c_stride};
            Start<T> begin{start > 0 || p.accumulate};
            if (start == 0 && p.row_bias) begin.row_bias = p.row_bias + row;
            if (start == 0 && p.col_bias) begin.col_bias = p.col_bias + col;
            const Index direct = std::clamp<Index>(in_place - col / width, 0, panels);
            multiply_block(slice, direct,
                           packed_b + (col / width + direct - in_place) * width * depth, begin);
        };
        if (threads == 1) {
            if (panels > in_place) pack_panels(in_place, panels);
            for (Index i = 0; i < down * across; i++) multiply(i);
        } else {
            const Index share = ceil_div(panels - in_place, 4 * threads);
            parallel(share ? ceil_div(panels - in_place, share) : 0, [&](Index i) {
                pack_panels(in_place + i * share, std::min(panels, in_place + (i + 1) * share));
            });
            parallel(down * across, multiply);
        }
    }
}

// One batch axis: its length and the step of each operand along it, in elements.
struct BatchAxis {
    Index count, a, b, c;
};

// The product for every combination along the axes, the innermost first (host/matmul.cpp).
template <typename T>
void multiply_batches(Product<T> product, const BatchAxis* axes, int axis_count);

}  // namespace tl
