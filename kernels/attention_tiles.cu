// Attention on tensor cores, for 16-bit floats: what attention.cu computes, by tiles (Dao 2023,
// arXiv:2307.08691). A warp has 16 queries (or keys) and passes over tiles of the others in shared
// memory, the next of which is on its way meanwhile. The scores stay in the registers in which the
// tensor cores leave them, and are there, rounded, the left operand of the next product.
//
// Rows are up to 64 or 128 elements long. Gradients take two passes, one a query and one a key:
// scores are computed twice, and nothing is added up in memory, so that the bits are always the same.
#include "attention.h"

#if defined(__CUDACC__)
#include "device/tiles.h"

namespace tl {

constexpr int kWarps = 4, kBlock = 16 * kWarps, kPart = 32;
constexpr float kLog2e = 1.44269504f, kLn2 = 0.693147181f;

// A warp's rows, in each lane its rows g and g + 8.
struct WarpRows {
    int warp, g;  // the first row of the warp in its block, and the lane's among its rows
    Index first;  // of the block
    TL_INLINE explicit WarpRows(Index first)
        : warp((int)threadIdx.x / 32 * 16), g((int)threadIdx.x % 32 / 4), first(first) {}
    TL_INLINE Index operator[](int half) const { return first + warp + g + half * 8; }
};

// Whether scores of these queries and keys are more than products times a positive factor.
template <typename T>
TL_INLINE bool hides(const Scoring<T>& scoring, Index first_query, Index first_key) {
    return scoring.bias || scoring.allowed || scoring.scale < 0 || first_key + kPart > scoring.keys ||
           (scoring.causal && first_key + kPart > first_query + 1);
}

// A product as a score in units of log 2. `row` is where the query's mask begins.
template <typename T>
TL_INLINE float log2_score(const Scoring<T>& scoring, float product, Index row, Index query,
                           Index key) {
    return key >= scoring.keys ? -INFINITY : scoring.score(product, row, query, key) * kLog2e;
}

template <int dims, typename T>
TL_INLINE void forward(const Scoring<T>& scoring, Heads<const T> q, Heads<const T> k, Heads<const T> v,
                       Heads<T> y, float* lse, Index queries, Index dim) {
    __shared__ __align__(16) Tile<kPart, dims> keys[2], values[2];
    __shared__ __align__(16) Tile<kBlock, dims> tile;
    const uint32_t blocks = (uint32_t)((queries + kBlock - 1) / kBlock), head = blockIdx.x / blocks;
    // Under a causal mask later queries have more to do: they come first.
    const WarpRows mine((Index)(blocks - 1 - blockIdx.x % blocks) * kBlock);
    const Index last = mine.first + kBlock < queries ? mine.first + kBlock : queries;
    const Index end = scoring.limit(last - 1);
    const TileRows<T> all_keys(k.of(head), scoring.keys, dim), all_values(v.of(head), scoring.keys, dim);
    tile.template fill<kWarps * 32>(TileRows<T>(q.of(head), queries, dim), mine.first);
    auto fetch = [&](int stage, Index first) {
        keys[stage].template fill<kWarps * 32>(all_keys, first);
        values[stage].template fill<kWarps * 32>(all_values, first);
        end_batch();
    };
    if (end > 0) fetch(0, 0);
    Left<dims> query;
    Sums16<dims> out;
    out.clear();
    float peak[2] = {-INFINITY, -INFINITY}, total[2] = {0, 0};
    Index mask[2];
    for (int half = 0; half < 2; ++half)
        mask[half] = scoring.row(head, mine[half] < queries ? mine[half] : queries - 1);
    int stage = 0;
    for (Index first = 0; first < end; first += kPart, stage ^= 1) {
        if (first + kPart < end) {
            fetch(stage ^ 1, first + kPart);
            arrived<1>();
        } else {
            arrived<0>();
        }
        if (first == 0) query.read(tile, mine.warp);
        Sums16<kPart> score;
        score.clear();
        score.template add_transposed<T>(query, keys[stage]);
        float factor = scoring.scale * kLog2e;
        if (hides(scoring, mine.first, first)) {
            score.each([&](float& s, int half, int column, int) {
                s = log2_score(scoring, s, mask[half], mine[half], first + column);
            });
            factor = 1;
        }
        float higher[2] = {-INFINITY, -INFINITY}, shift[2];
        score.each([&](float& s, int half, int, int) { higher[half] = fmaxf(higher[half], s); });
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const float top = row_max(higher[half]) * factor;
            const float now = fmaxf(peak[half], top);
            shift[half] = now == -INFINITY ? 0.0f : now;
            const float shrink = exp2f(peak[half] - shift[half]);
            total[half] *= shrink, peak[half] = now;
            higher[half] = shrink;
        }
        out.each([&](float& sum, int half, int, int) { sum *= higher[half]; });
        score.each([&](float& s, int half, int, int) {
            s = exp2f(s * factor - shift[half]);
            total[half] += s;
        });
        out.template add<T>(score.template as_left<T>(), values[stage]);
        __syncthreads();  // all have read the tiles before the next but one is copied there
    }
    T* row[2];
    float scale[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        const Index i = mine[half];
        const float all = row_total(total[half]);
        scale[half] = all == 0 ? 0.0f : 1 / all;
        row[half] = i < queries ? y.of(head)[i] : nullptr;
        if (i < queries && threadIdx.x % 4 == 0)
            lse[head * queries + i] = all == 0 ? -INFINITY : peak[half] * kLn2 + log(all);
    }
    out.write(row[0], row[1], dim, scale[0], scale[1]);
}

// The gradient of q, and mean[i] = g_i · y_i, which the pass over keys needs.
template <int dims, typename T>
TL_INLINE void backward_queries(const Scoring<T>& scoring, Heads<const T> g, Heads<const T> q,
                                Heads<const T> k, Heads<const T> v, Heads<const T> y,
                                const float* lse, Heads<T> dq, float* mean, Index queries, Index dim) {
    __shared__ __align__(16) Tile<kPart, dims> keys[2], values[2];
    __shared__ __align__(16) Tile<kBlock, dims> tile;
    const uint32_t blocks = (uint32_t)((queries + kBlock - 1) / kBlock), head = blockIdx.x / blocks;
    const WarpRows mine((Index)(blocks - 1 - blockIdx.x % blocks) * kBlock);
    const Index last = mine.first + kBlock < queries ? mine.first + kBlock : queries;
    const Index end = scoring.limit(last - 1);
    const TileRows<T> all_keys(k.of(head), scoring.keys, dim), all_values(v.of(head), scoring.keys, dim);
    auto fetch = [&](int stage, Index first) {
        keys[stage].template fill<kWarps * 32>(all_keys, first);
        values[stage].template fill<kWarps * 32>(all_values, first);
        end_batch();
    };
    Left<dims> query, gradient;
    tile.template fill<kWarps * 32>(TileRows<T>(q.of(head), queries, dim), mine.first);
    end_batch();
    arrived<0>();
    query.read(tile, mine.warp);
    __syncthreads();
    tile.template fill<kWarps * 32>(TileRows<T>(g.of(head), queries, dim), mine.first);
    if (end > 0) fetch(0, 0);

    // Two lanes a row.
    const int lane = threadIdx.x % 32;
    const Index own = mine.first + mine.warp + lane / 2;
    float average = 0, level[2], shift[2];
    if (own < queries)
        for (Index d = lane % 2; d < dim; d += 2)
            average += float(g.of(head)[own][d]) * float(y.of(head)[own][d]);
    average += __shfl_xor_sync(0xffffffffu, average, 1);
    if (own < queries && lane % 2 == 0) mean[head * queries + own] = average;
    Index mask[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        const Index i = mine[half] < queries ? mine[half] : queries - 1;
        mask[half] = scoring.row(head, i);
        level[half] = __shfl_sync(0xffffffffu, average, (mine.g + half * 8) * 2);
        const float found = lse[head * queries + i];
        shift[half] = found == -INFINITY ? 0.0f : found * kLog2e;
    }
    Sums16<dims> out;
    out.clear();
    int stage = 0;
    for (Index first = 0; first < end; first += kPart, stage ^= 1) {
        if (first + kPart < end) {
            fetch(stage ^ 1, first + kPart);
            arrived<1>();
        } else {
            arrived<0>();
        }
        if (first == 0) gradient.read(tile, mine.warp);
        Sums16<kPart> score, slope;
        score.clear(), slope.clear();
        score.template add_transposed<T>(query, keys[stage]);
        slope.template add_transposed<T>(gradient, values[stage]);
        float factor = scoring.scale * kLog2e;
        if (hides(scoring, mine.first, first)) {
            score.each([&](float& s, int half, int column, int) {
                s = log2_score(scoring, s, mask[half], mine[half], first + column);
            });
            factor = 1;
        }
#pragma unroll
        for (int j = 0; j < kPart / 8; ++j)
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const float weight = exp2f(score.part[j][i] * factor - shift[i / 2]);
                slope.part[j][i] = weight * (slope.part[j][i] - level[i / 2]) * scoring.scale;
            }
        out.template add<T>(slope.template as_left<T>(), keys[stage]);
        __syncthreads();
    }
    T* row[2];
#pragma unroll
    for (int half = 0; half < 2; ++half)
        row[half] = mine[half] < queries ? dq.of(head)[mine[half]] : nullptr;
    out.write(row[0], row[1], dim, 1, 1);
}

// The gradients of k and v: a warp has 16 keys, and the scores are turned, a key a row.
template <int dims, typename T>
TL_INLINE void backward_keys(const Scoring<T>& scoring, Heads<const T> g, Heads<const T> q,
                             Heads<const T> k, Heads<const T> v, const float* lse,
                             const float* mean, Heads<T> dk, Heads<T> dv, Index queries, Index dim) {
    constexpr int part = dims > 64 ? 16 : 32;  // what leaves registers enough
    __shared__ __align__(16) Tile<part, dims> all_q[2], all_g[2];
    __shared__ __align__(16) Tile<kBlock, dims> key, value;
    const uint32_t blocks = (uint32_t)((scoring.keys + kBlock - 1) / kBlock),
                   head = blockIdx.x / blocks;
    const WarpRows mine((Index)(blockIdx.x % blocks) * kBlock);
    const TileRows<T> all_queries(q.of(head), queries, dim), all_gradients(g.of(head), queries, dim);
    key.template fill<kWarps * 32>(TileRows<T>(k.of(head), scoring.keys, dim), mine.first);
    value.template fill<kWarps * 32>(TileRows<T>(v.of(head), scoring.keys, dim), mine.first);
    auto fetch = [&](int stage, Index first) {
        all_q[stage].template fill<kWarps * 32>(all_queries, first);
        all_g[stage].template fill<kWarps * 32>(all_gradients, first);
        end_batch();
    };
    Sums16<dims> to_key, to_value;
    to_key.clear(), to_value.clear();
    const Index masks = scoring.row(head, 0), step = scoring.mask_rows > 1 ? scoring.keys : 0;
    // Queries before the block's first key see none of it.
    const Index start = scoring.causal ? mine.first : 0;
    if (start < queries) fetch(0, start);
    int stage = 0;
    for (Index first = start; first < queries; first += part, stage ^= 1) {
        if (first + part < queries) {
            fetch(stage ^ 1, first + part);
            arrived<1>();
        } else {
            arrived<0>();
        }
        float shift[part / 4], level[part / 4];
#pragma unroll
        for (int c = 0; c < part / 4; ++c) {
            const Index i = first + c / 2 * 8 + threadIdx.x % 4 * 2 + c % 2;
            const float found = i < queries ? lse[head * queries + i] : 0.0f;
            shift[c] = found == -INFINITY ? 0.0f : found * kLog2e;
            level[c] = i < queries ? mean[head * queries + i] : 0.0f;
        }
        Sums16<part> score, slope;
        score.clear(), slope.clear();
        score.template add_transposed<T>(key, mine.warp, all_q[stage]);
        slope.template add_transposed<T>(value, mine.warp, all_g[stage]);
        float factor = scoring.scale * kLog2e;
        if (scoring.bias || scoring.allowed ||
            (scoring.causal && mine.first + kBlock > first + 1)) {
            score.each([&](float& s, int half, int column, int) {
                const Index i = first + column;
                s = i < queries ? log2_score(scoring, s, masks + i * step, i, mine[half]) : -INFINITY;
            });
            factor = 1;
        }
#pragma unroll
        for (int j = 0; j < part / 8; ++j)
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const int c = j * 2 + i % 2;
                const float weight = exp2f(score.part[j][i] * factor - shift[c]);
                score.part[j][i] = weight;
                slope.part[j][i] = weight * (slope.part[j][i] - level[c]) * scoring.scale;
            }
        to_value.template add<T>(score.template as_left<T>(), all_g[stage]);
        to_key.template add<T>(slope.template as_left<T>(), all_q[stage]);
        __syncthreads();
    }
    T *row[2], *other[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        const bool inside = mine[half] < scoring.keys;
        row[half] = inside ? dk.of(head)[mine[half]] : nullptr;
        other[half] = inside ? dv.of(head)[mine[half]] : nullptr;
    }
    to_key.write(row[0], row[1], dim, 1, 1);
    to_value.write(other[0], other[1], dim, 1, 1);
}

// ---- The kernels: one for rows of up to 64 elements and one for up to 128 ------------------------

template <SHORT T>
BLOCKS(batch * heads * (queries + 63 >> 6), 128)
void attention_tiles_64(
    Heads<const T> q AXES(batch, heads, queries, dim),
    Heads<const T> k AXES(batch, heads, keys, dim),
    Heads<const T> v AXES(batch, heads, keys, dim),
    const T* bias OPTIONAL(mask_batches * mask_heads * mask_rows * keys),
    const bool* allowed OPTIONAL(mask_batches * mask_heads * mask_rows * keys),
    Heads<T> y AXES(batch, heads, queries, dim), float* lse OF(batch * heads * queries),
    Index batch, Index heads, Index queries, Index keys, Index dim, Index mask_batches,
    Index mask_heads, Index mask_rows, double scale, bool causal) {
    const Scoring<T> scoring{bias,       allowed,   heads,        keys,  mask_batches,
                             mask_heads, mask_rows, float(scale), causal};
    forward<64>(scoring, q, k, v, y, lse, queries, dim);
}

template <SHORT T>
BLOCKS(batch * heads * (queries + 63 >> 6), 128)
void attention_tiles_queries_64(
    Heads<const T> g AXES(batch, heads, queries, dim),
    Heads<const T> q AXES(batch, heads, queries, dim),
    Heads<const T> k AXES(batch, heads, keys, dim),
    Heads<const T> v AXES(batch, heads, keys, dim),
    const T* bias OPTIONAL(mask_batches * mask_heads * mask_rows * keys),
    const bool* allowed OPTIONAL(mask_batches * mask_heads * mask_rows * keys),
    Heads<const T> y AXES(batch, heads, queries, dim), const float* lse OF(batch * heads * queries),
    Heads<T> dq AXES(batch, heads, queries, dim), float* mean OF(batch * heads * queries),
    Index batch, Index heads, Index queries, Index keys, Index dim, Index mask_batches,
    Index mask_heads, Index mask_rows, double scale, bool causal) {
    const Scoring<T> scoring{bias,       allowed,   heads,        keys,  mask_batches,
                             mask_heads, mask_rows, float(scale), causal};
    backward_queries<64>(scoring, g, q, k, v, y, lse, dq, mean, queries, dim);
}

template <SHORT T>
BLOCKS(batch * heads * (keys + 63 >> 6), 128)
void attention_tiles_keys_64(
    Heads<const T> g AXES(batch, heads, queries, dim),
    Heads<const T> q AXES(batch, heads, queries, dim),
    Heads<const T> k AXES(batch, heads, keys, dim),
    Heads<const T> v AXES(batch, heads, keys, dim),
    const T* bias OPTIONAL(mask_batches * mask_heads * mask_rows * keys),
    const bool* allowed OPTIONAL(mask_batches * mask_heads * mask_rows * keys),
    const float* lse OF(batch * heads * queries), const float* mean OF(batch * heads * queries),
    Heads<T> dk AXES(batch, heads, keys, dim), Heads<T> dv AXES(batch, heads, keys, dim),
    Index batch, Index heads, Index queries, Index keys, Index dim, Index mask_batches,
    Index mask_heads, Index mask_rows, double scale, bool causal) {
    const Scoring<T> scoring{bias,       allowed,   heads,        keys,  mask_batches,
                             mask_heads, mask_rows, float(scale), causal};
    backward_keys<64>(scoring, g, q, k, v, lse, mean, dk, dv, queries, dim);
}

template <SHORT T>
BLOCKS(batch * heads * (queries + 63 >> 6), 128)
void attention_tiles_128(
    Heads<const T> q AXES(batch, heads, queries, dim),
    Heads<const T> k AXES(batch, heads, keys, dim),
    Heads<const T> v AXES(batch, heads, keys, dim),
    const T* bias OPTIONAL(mask_batches * mask_heads * mask_rows * keys),
    const bool* allowed OPTIONAL(mask_batches * mask_heads * mask_rows * keys),
    Heads<T> y AXES(batch, heads, queries, dim), float* lse OF(batch * heads * queries),
    Index batch, Index heads, Index queries, Index keys, Index dim, Index mask_batches,
    Index mask_heads, Index mask_rows, double scale, bool causal) {
    const Scoring<T> scoring{bias,       allowed,   heads,        keys,  mask_batches,
                             mask_heads, mask_rows, float(scale), causal};
    forward<128>(scoring, q, k, v, y, lse, queries, dim);
}

template <SHORT T>
BLOCKS(batch * heads * (queries + 63 >> 6), 128)
void attention_tiles_queries_128(
    Heads<const T> g AXES(batch, heads, queries, dim),
    Heads<const T> q AXES(batch, heads, queries, dim),
    Heads<const T> k AXES(batch, heads, keys, dim),
    Heads<const T> v AXES(batch, heads, keys, dim),
    const T* bias OPTIONAL(mask_batches * mask_heads * mask_rows * keys),
    const bool* allowed OPTIONAL(mask_batches * mask_heads * mask_rows * keys),
    Heads<const T> y AXES(batch, heads, queries, dim), const float* lse OF(batch * heads * queries),
    Heads<T> dq AXES(batch, heads, queries, dim), float* mean OF(batch * heads * queries),
    Index batch, Index heads, Index queries, Index keys, Index dim, Index mask_batches,
    Index mask_heads, Index mask_rows, double scale, bool causal) {
    const Scoring<T> scoring{bias,       allowed,   heads,        keys,  mask_batches,
                             mask_heads, mask_rows, float(scale), causal};
    backward_queries<128>(scoring, g, q, k, v, y, lse, dq, mean, queries, dim);
}

template <SHORT T>
BLOCKS(batch * heads * (keys + 63 >> 6), 128)
void attention_tiles_keys_128(
    Heads<const T> g AXES(batch, heads, queries, dim),
    Heads<const T> q AXES(batch, heads, queries, dim),
    Heads<const T> k AXES(batch, heads, keys, dim),
    Heads<const T> v AXES(batch, heads, keys, dim),
    const T* bias OPTIONAL(mask_batches * mask_heads * mask_rows * keys),
    const bool* allowed OPTIONAL(mask_batches * mask_heads * mask_rows * keys),
    const float* lse OF(batch * heads * queries), const float* mean OF(batch * heads * queries),
    Heads<T> dk AXES(batch, heads, keys, dim), Heads<T> dv AXES(batch, heads, keys, dim),
    Index batch, Index heads, Index queries, Index keys, Index dim, Index mask_batches,
    Index mask_heads, Index mask_rows, double scale, bool causal) {
    const Scoring<T> scoring{bias,       allowed,   heads,        keys,  mask_batches,
                             mask_heads, mask_rows, float(scale), causal};
    backward_keys<128>(scoring, g, q, k, v, lse, mean, dk, dv, queries, dim);
}

}  // namespace tl
#endif
