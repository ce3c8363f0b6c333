// The matrix product of the host kernels: C = A·B, C += A·B or C = bias + A·B, float and double, and
// max(C, 0) of these.
//
// Operands carry a row and a column stride, so a transpose is two swapped numbers and never a copy.
// The structure is that of Goto and van de Geijn (2008): a micro-kernel holds a small tile of C in
// registers, B is cut into panels as wide as the tile that stay in the first-level cache, blocks of
// A stay in the second-level one. Both are packed, except where they are too small to repay it; the
// smaller one once for all threads, the larger by the thread that multiplies it, part by part.
// Every element of C is summed in the same order whatever the number of threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "host/pool.h"
#include "host/workspace.h"

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
    // In a variable of its own: what a template is given loses the attributes of the other.
    typedef T held __attribute__((vector_size(kVectorBytes)));
};

template <class T>
constexpr int kTileCols = kTileVectors * Simd<T>::lanes;

// What a block works on: kDepth × kTileCols of B in the first-level cache, kBlockRows × kDepth of A
// in the second. Processors with AVX-512 read B as fast from the second, and C less often.
constexpr bool kBFromSecondLevel = kVectorBytes == 64;
constexpr Index kDepth = kBFromSecondLevel ? 768 : 384;
constexpr Index kBlockRows = 24 * kTileRows, kBlocksPerThread = 6;
// Elements of B that the first-level cache holds as they lie.
constexpr Index kInPlace = 8192;
// Elements that the operand packed for all blocks may have at a time.
constexpr Index kShared = 1 << 21;
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
    bool relu = false;            // C = max(C, 0) in the end; NaN stays
};

// An operand cut into panels one tile thick: element e of panel t at depth p is
// data[t * panel + p * depth_stride + e * stride].
template <class T>
struct Panels {
    const T* data;
    Index panel, depth_stride, stride;
};

template <int lanes, int half, class V, int... lane>
inline void exchange(V& a, V& b, std::integer_sequence<int, lane...>) {
    const V low = __builtin_shufflevector(a, b, (lane & half ? lanes + lane - half : lane)...);
    b = __builtin_shufflevector(a, b, (lane & half ? lanes + lane : lane + half)...);
    a = low;
}

// Turns a square of lanes × lanes elements, held in as many vectors: row i becomes column i. Swaps
// the quarters beside the diagonal, then those of each quarter.
template <int lanes, int half = lanes / 2, class V>
inline void transpose_lanes(V* rows) {
    if constexpr (half > 0) {
        TL_UNROLL
        for (int i = 0; i < lanes; i++)
            if (!(i & half))
                exchange<lanes, half>(rows[i], rows[i + half],
                                      std::make_integer_sequence<int, lanes>());
        transpose_lanes<lanes, half / 2>(rows);
    }
}

// One panel out of `width` rows whose elements lie side by side along the depth.
template <int width, class T>
TL_WIDE void pack_turned(Index depth, const T* __restrict__ from, Index stride,
                         T* __restrict__ to) {
    using V = typename Simd<T>::vector;
    constexpr int lanes = Simd<T>::lanes;
    Index p = 0;
    // The last vector of a row may reach into the next, so it is written before that; and that of the
    // last row to where another thread writes.
    constexpr Index kept = width % lanes ? 1 : 0;
    for (; p + lanes <= depth - kept; p += lanes)
        TL_UNROLL
        for (int first = (width - 1) / lanes * lanes; first >= 0; first -= lanes) {
            typename Simd<T>::held square[lanes];
            TL_UNROLL
            for (int e = 0; e < lanes; e++)
                square[e] = first + e < width ? *(const V*)(from + (first + e) * stride + p) : V{};
            transpose_lanes<lanes>(square);
            TL_UNROLL
            for (int q = 0; q < lanes; q++) *(V*)(to + (p + q) * width + first) = square[q];
        }
    for (; p < depth; p++)
        for (int e = 0; e < width; e++) to[p * width + e] = from[e * stride + p];
}

// So many panels out of rows that lie along them.
template <int width, int panels, class T>
void pack_side_by_side(Index depth, const T* __restrict__ from, Index depth_stride,
                       T* __restrict__ to) {
    for (Index p = 0; p < depth; p++, from += depth_stride) {
        // Rows may lie so far apart that the processor does not guess which comes next.
        const T* ahead = from + 16 * depth_stride;
        TL_UNROLL
        for (int panel = 0; panel < panels; panel++) {
            __builtin_prefetch(ahead + panel * width);
            for (int e = 0; e < width; e++)
                to[(panel * depth + p) * width + e] = from[panel * width + e];
        }
    }
}

// Copies `count` × `depth` elements, (e, p) at from[e * stride + p * depth_stride], into panels of
// `width`; the last is filled up with zeros.
template <int width, class T>
TL_SHARED Panels<T> pack(Index count, Index depth, const T* __restrict__ from, Index stride,
               Index depth_stride, T* __restrict__ to) {
    constexpr Index together = 4;  // panels read side by side, so that a visit to a row is worth it
    Index start = 0;
    for (; stride == 1 && start + together * width <= count; start += together * width)
        pack_side_by_side<width, together>(depth, from + start, depth_stride, to + start * depth);
    for (; start < count; start += width) {
        const T* source = from + start * stride;
        T* panel = to + start * depth;
        const Index filled = std::min<Index>(width, count - start);
        if (filled == width && stride == 1)
            pack_side_by_side<width, 1>(depth, source, depth_stride, panel);
        else if (filled == width && depth_stride == 1)
            pack_turned<width>(depth, source, stride, panel);
        else {
            std::fill_n(panel, filled < width ? width * depth : 0, T(0));
            for (Index p = 0; p < depth; p++)
                for (Index e = 0; e < filled; e++)
                    panel[p * width + e] = source[e * stride + p * depth_stride];
        }
    }
    return {to, width * depth, width, 1};
}

// GCC would have each row of a small tile read B from memory again.
template <class V>
TL_INLINE void keep_in_register(V& v) {
#if defined(__x86_64__)
    asm("" : "+v"(v));
#else
    (void)v;
#endif
}

// One tile of C in registers: `rows` × kTileCols, c = begin + a·b, where begin may be null, c
// itself or a bias. All arguments are plain words: a structure read back from the stack would have
// to wait for the stores of the tile before.
template <int rows, class T>
TL_WIDE void tile_product(Index depth, const T* a, Index a_depth_stride, Index a_stride,
                          const T* b, Index b_stride, const T* begin, Index begin_stride, T* c,
                          Index c_stride) {
    using V = typename Simd<T>::vector;
    constexpr int lanes = Simd<T>::lanes;
    V sum[rows][kTileVectors] = {};
    // Asked for now and written in the end, as it may be far away: every line, which a row has several of.
    constexpr int line = 64 / sizeof(T), width = kTileVectors * lanes;
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < width; j += line) __builtin_prefetch(c + i * c_stride + j, 1);
    if (begin) {
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < width; j += line) __builtin_prefetch(begin + i * begin_stride + j);
    }
    // A pointer to every sixth row: the distances of all from one would not stay in registers.
    constexpr int together = 6;
    const T* bases[(rows + together - 1) / together];
    TL_UNROLL
    for (int i = 0; i < rows; i += together) bases[i / together] = a + i * a_stride;
    for (Index p = 0; p < depth; p++, b += b_stride) {
        V row[kTileVectors];
        TL_UNROLL
        for (int j = 0; j < kTileVectors; j++) {
            if (kBFromSecondLevel) __builtin_prefetch(b + 8 * b_stride + j * lanes);
            row[j] = *(const V*)(b + j * lanes);
            keep_in_register(row[j]);
        }
        TL_UNROLL
        for (int i = 0; i < rows; i++)
            TL_UNROLL
            for (int j = 0; j < kTileVectors; j++)
                sum[i][j] += bases[i / together][i % together * a_stride] * row[j];
        TL_UNROLL
        for (const T*& base : bases) base += a_depth_stride;
    }
    if (begin) {
        TL_UNROLL
        for (int i = 0; i < rows; i++)
            TL_UNROLL
            for (int j = 0; j < kTileVectors; j++)
                sum[i][j] += *(const V*)(begin + i * begin_stride + j * lanes);
    }
    TL_UNROLL
    for (int i = 0; i < rows; i++)
        TL_UNROLL
        for (int j = 0; j < kTileVectors; j++) *(V*)(c + i * c_stride + j * lanes) = sum[i][j];
}

// tile_product for every number of rows up to the tile's.
template <class T, class = std::make_integer_sequence<int, kTileRows>>
struct Tiles;
template <class T, int... fewer>
struct Tiles<T, std::integer_sequence<int, fewer...>> {
    static constexpr decltype(&tile_product<1, T>) of_rows[] = {tile_product<fewer + 1, T>...};
};

// What a block of C starts from: zeros, another matrix (itself, to accumulate), or a bias for its
// rows or its columns.
template <class T>
struct Start {
    const T* matrix = nullptr;
    Index stride = 0;
    const T *row_bias = nullptr, *col_bias = nullptr;
};

// Rows of the next tile when so many are left. The last two share theirs if tiles may begin anywhere:
// one of less than four rows takes as long as one of four.
inline int tile_height(Index left, bool anywhere) {
    if (anywhere && left > kTileRows && left < kTileRows + 4) return int(left + 1) / 2;
    return int(std::min<Index>(kTileRows, left));
}

// One tile of C, `height` rows and up to kTileCols columns of it: `begin` and `c` are where it begins.
template <class T>
TL_INLINE void put_tile(Index height, Index filled, Index depth, const T* a, const Panels<T>& of_a,
                        const T* b, Index b_stride, const T* begin, Index begin_stride, T* c,
                        Index c_stride) {
    constexpr int width = kTileCols<T>;
    const auto tile = Tiles<T>::of_rows[height - 1];
    if (filled == width)
        return tile(depth, a, of_a.depth_stride, of_a.stride, b, b_stride, begin, begin_stride, c,
                    c_stride);
    T edge[kTileRows * width];
    for (Index r = 0; begin && r < height; r++)
        std::copy_n(begin + r * begin_stride, filled, edge + r * width);
    tile(depth, a, of_a.depth_stride, of_a.stride, b, b_stride, begin ? edge : nullptr, width, edge,
         width);
    for (Index r = 0; r < height; r++) std::copy_n(edge + r * width, filled, c + r * c_stride);
}

// How many columns of B a tile of A meets before the next one does: a panel, which then stays in the
// first-level cache; or what stays in the second, so that rows of C, which may be a multiple of 4 KB
// apart and far away, are written side by side. Few rows meet each panel at once.
template <class T>
Index columns_together(Index rows, Index depth) {
    constexpr Index bytes = 512 << 10;
    const Index panel = std::max<Index>(depth, 1) * kTileCols<T> * sizeof(T);
    const bool one = !kBFromSecondLevel || rows <= 2 * kTileRows || panel > bytes;
    return one ? kTileCols<T> : bytes / panel * kTileCols<T>;
}

// C (rows × cols) from panels of A and B. Where cols is not a multiple of the tile, B's last panel
// must be readable to its full width.
template <class T>
TL_SHARED void block_product(Index rows, Index cols, Index depth, Panels<T> a, Panels<T> b, T* c,
                   Index c_stride, Start<T> start) {
    constexpr int width = kTileCols<T>;
    const bool anywhere = a.panel == kTileRows * a.stride;
    const Index together = columns_together<T>(rows, depth);
    for (Index first = 0; first < cols; first += together) {
        const Index last = std::min(first + together, cols);
        int height;
        for (Index i = 0; i < rows; i += height) {
            height = tile_height(rows - i, anywhere);
            const T* a_tile = a.data + (anywhere ? i * a.stride : i / kTileRows * a.panel);
            T spread[kTileRows * width];
            for (int r = 0; start.row_bias && r < height; r++)
                std::fill_n(spread + r * width, width, start.row_bias[i + r]);
            for (Index j = first; j < last; j += width) {
                const T* begin = start.row_bias ? spread
                                 : start.matrix ? start.matrix + i * start.stride + j
                                 : start.col_bias ? start.col_bias + j
                                                  : nullptr;
                const Index begin_stride = start.row_bias ? width : start.matrix ? start.stride : 0;
                put_tile(height, std::min<Index>(width, cols - j), depth, a_tile, a,
                         b.data + j / width * b.panel, b.depth_stride, begin, begin_stride,
                         c + i * c_stride + j, c_stride);
            }
        }
    }
}

inline Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }
inline Index round_up(Index a, Index b) { return ceil_div(a, b) * b; }

// Where the part `i` of `parts` begins that [0, count) is cut into, tile by tile.
inline Index cut(Index count, Index tile, Index i, Index parts) {
    return std::min(count, ceil_div(count, tile) * i / parts * tile);
}

// Into how many blocks C's rows and columns are cut: a few a thread, so that a late thread costs
// little. The smaller operand is packed once for all blocks; each packs its own part of the other,
// all of whose rows or columns it multiplies if possible, and so finds it in its second-level cache.
struct Blocks {
    Index down, across;
    bool share_a;

    template <class T>
    static Blocks of(const Product<T>& p, Index threads) {
        constexpr Index least = 4;  // tiles
        const Index wanted = kBlocksPerThread * threads;
        const auto parts = [&](Index count, Index tile) {
            const Index few = std::min(ceil_div(count, least * tile), wanted);
            return std::max(few, ceil_div(count, kBlockRows));
        };
        if (p.cols > 2 * p.rows) return {1, parts(p.cols, kTileCols<T>), true};
        if (threads == 1) return {ceil_div(p.rows, kBlockRows), 1, false};
        const Index down = parts(p.rows, kTileRows);
        const Index across = ceil_div(p.cols, least * kTileCols<T>);
        return {down, std::min(ceil_div(wanted, down), across), false};
    }
};

// f(i) for every i in [0, count), here or on all threads.
template <class F>
void each_block(Index threads, Index count, const F& f) {
    if (threads > 1) return parallel(count, f);
    for (Index i = 0; i < count; i++) f(i);
}

// The product of a block of C's rows and columns, over a slice of the depth.
template <class T>
Product<T> part(const Product<T>& p, Index row, Index rows, Index col, Index cols, Index start,
                Index depth) {
    const bool first = start == 0;
    return {std::min(rows, p.rows - row),
            std::min(cols, p.cols - col),
            std::min(depth, p.depth - start),
            p.a.at(row, start),
            p.b.at(start, col),
            p.c + row * p.c_stride + col,
            p.c_stride,
            !first || p.accumulate,
            first && p.row_bias ? p.row_bias + row : nullptr,
            first && p.col_bias ? p.col_bias + col : nullptr,
            p.relu && start + depth >= p.depth};
}

template <class T>
Panels<T> pack_rows(const Product<T>& p, T* to) {
    return pack<kTileRows, T>(p.rows, p.depth, p.a.data, p.a.row_stride, p.a.col_stride, to);
}

template <class T>
Panels<T> pack_cols(const Product<T>& p, T* to) {
    return pack<kTileCols<T>, T>(p.cols, p.depth, p.b.data, p.b.col_stride, p.b.row_stride, to);
}

template <class T>
void block_product(const Product<T>& p, Panels<T> a, Panels<T> b) {
    block_product<T>(p.rows, p.cols, p.depth, a, b, p.c, p.c_stride,
                     {p.accumulate ? p.c : nullptr, p.c_stride, p.row_bias, p.col_bias});
    for (Index i = 0; p.relu && i < p.rows; i++) {
        T* row = p.c + i * p.c_stride;
        for (Index j = 0; j < p.cols; j++) row[j] = row[j] <= 0 ? T(0) : row[j];
    }
}

// Over how many panels of B a copy of A begins to repay. Rows along the depth are read almost as fast
// where they are, unless they lie a multiple of 4 KB apart: those of a tile would push each other out of
// the first-level cache. Of an A that lies across every step along the depth is another line.
template <class T>
Index panels_worth_copy(const Matrix<T>& a) {
    const bool apart = a.col_stride == 1 && a.row_stride * sizeof(T) % 4096 != 0;
    return apart ? 16 : a.row_stride == 1 ? 1 : 4;
}

template <class T>
void multiply_with_shared_b(const Product<T>& block, Panels<T> b) {
    const bool copy = block.cols > panels_worth_copy(block.a) * kTileCols<T>;
    Workspace<T> packed(copy ? round_up(block.rows, kTileRows) * block.depth : 0);
    const Matrix<T>& a = block.a;
    const Panels<T> in_place{a.data, kTileRows * a.row_stride, a.col_stride, a.row_stride};
    block_product(block, copy ? pack_rows<T>(block, packed) : in_place, b);
}

template <class T>
void multiply_with_shared_a(const Product<T>& block, Panels<T> a) {
    Workspace<T> packed(round_up(block.cols, kTileCols<T>) * block.depth);
    const Panels<T> b = pack_cols<T>(block, packed);
    for (Index row = 0; row < block.rows; row += kBlockRows) {
        block_product(part(block, row, kBlockRows, 0, block.cols, 0, block.depth), a, b);
        a.data += kBlockRows / kTileRows * a.panel;
    }
}

// Where B's rows are contiguous, and B is small or has too few rows of A to share the cost of a copy,
// B's panels are read where they are, but for a last one that is not whole.
template <class T>
void gemm_in_place(const Product<T>& p, Index threads) {
    constexpr Index width = kTileCols<T>;
    const Panels<T> a{p.a.data, kTileRows * p.a.row_stride, p.a.col_stride, p.a.row_stride};
    const Index share = std::max(round_up(ceil_div(p.cols, 4 * threads), width), 4 * width);
    each_block(threads, ceil_div(p.cols, share), [&](Index i) {
        const Product<T> block = part(p, 0, p.rows, i * share, share, 0, p.depth);
        const Index whole = block.cols / width * width, rest = block.cols - whole;
        block_product(part(block, 0, p.rows, 0, whole, 0, p.depth), a,
                      {block.b.data, width, block.b.row_stride, 1});
        if (rest == 0) return;
        Workspace<T> packed(width * p.depth);
        const Product<T> last = part(block, 0, p.rows, whole, rest, 0, p.depth);
        block_product(last, a, pack_cols<T>(last, packed));
    });
}

template <class T>
TL_SHARED void gemm(const Product<T>& p);

// Cᵀ = Bᵀ·Aᵀ where C has so few columns, as the scores of a few classes, that they would leave most of
// a tile empty.
template <class T>
void gemm_turned(const Product<T>& p) {
    Workspace<T> turned(p.rows * p.cols);
    gemm<T>({p.cols, p.rows, p.depth, p.b.transposed(), p.a.transposed(), turned, p.rows, false,
             p.col_bias, p.row_bias});
    constexpr Index share = 1024;
    each_block(num_threads(), ceil_div(p.rows, share), [&](Index block) {
        const Index first = block * share, last = std::min(first + share, p.rows);
        for (Index i = first; i < last; i++)
            for (Index j = 0; j < p.cols; j++) {
                T& c = p.c[i * p.c_stride + j];
                const T value = turned[j * p.rows + i] + (p.accumulate ? c : T(0));
                c = p.relu && value <= 0 ? T(0) : value;
            }
    });
}

template <class T>
void gemm(const Product<T>& p) {
    constexpr Index width = kTileCols<T>;
    if (p.rows == 0 || p.cols == 0) return;
    if (2 * p.cols < width && p.rows >= width && p.depth >= 2 * width) return gemm_turned(p);
    const Index threads = p.rows * p.cols * p.depth < kSerialWork ? 1 : num_threads();
    const bool is_small = p.rows <= 4 * kTileRows || p.depth * p.cols <= kInPlace;
    if (p.b.col_stride == 1 && is_small) return gemm_in_place(p, threads);

    const Blocks block = Blocks::of(p, threads);
    const Index tile = block.share_a ? Index(kTileRows) : width;
    const Index count = block.share_a ? p.rows : p.cols, padded = round_up(count, tile);
    // The depth in even slices, as many of them at a time as may be packed for all.
    const Index slices = std::max<Index>(1, ceil_div(p.depth, kDepth));
    const Index slice = std::max<Index>(1, ceil_div(p.depth, slices));
    const Index chunk = std::max<Index>(kShared / padded / slice, 1) * slice;
    Workspace<T> shared(padded * std::min(chunk, p.depth));
    for (Index first = 0; first == 0 || first < p.depth; first += chunk) {
        const Index last = std::min(first + chunk, p.depth);
        const auto panels = [&](Index start, Index at) -> Panels<T> {
            const Index depth = std::min(slice, last - start);
            return {shared + (start - first) * padded + at * depth, tile * depth, tile, 1};
        };
        const Index share = round_up(ceil_div(count, 2 * threads), tile);
        const Index shares = ceil_div(count, share);
        each_block(threads, shares * ceil_div(last - first, slice), [&](Index i) {
            const Index at = i % shares * share, start = first + i / shares * slice;
            T* to = const_cast<T*>(panels(start, at).data);
            if (block.share_a)
                pack_rows<T>(part(p, at, share, 0, 0, start, slice), to);
            else
                pack_cols<T>(part(p, 0, 0, at, share, start, slice), to);
        });
        each_block(threads, block.down * block.across, [&](Index i) {
            const Index down = i / block.across, across = i % block.across;
            const Index row = cut(p.rows, kTileRows, down, block.down);
            const Index rows = cut(p.rows, kTileRows, down + 1, block.down) - row;
            const Index col = cut(p.cols, width, across, block.across);
            const Index cols = cut(p.cols, width, across + 1, block.across) - col;
            for (Index start = first; start == first || start < last; start += slice) {
                const Product<T> product = part(p, row, rows, col, cols, start, slice);
                if (block.share_a)
                    multiply_with_shared_a(product, panels(start, row));
                else
                    multiply_with_shared_b(product, panels(start, col));
            }
        });
    }
}

// Compiled once, in host/matmul.cpp.
#define TL_FOR_PRODUCTS(declare, T)                                                               \
    declare template Panels<T> pack<kTileRows, T>(Index, Index, const T*, Index, Index, T*);       \
    declare template Panels<T> pack<kTileCols<T>, T>(Index, Index, const T*, Index, Index, T*);    \
    declare template void block_product<T>(Index, Index, Index, Panels<T>, Panels<T>, T*, Index,   \
                                           Start<T>);                                              \
    declare template void gemm<T>(const Product<T>&);

TL_FOR_PRODUCTS(extern, float)
TL_FOR_PRODUCTS(extern, double)

// One batch axis: its length and the step of each operand along it, in elements.
struct BatchAxis {
    Index count, a, b, c;
};

// The product for every combination along the axes, the innermost first (host/matmul.cpp).
template <typename T>
void multiply_batches(Product<T> product, const BatchAxis* axes, int axis_count);

}  // namespace tl
