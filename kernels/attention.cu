// Attention: y = softmax(scale q kᵀ + mask) v for each head, and its gradient.
//
// Arrays are (batch, heads, length, dim), only the last axis dense: heads may lie side by side in
// what a linear layer made. The mask is additive (`bias`), or true where a key is `allowed`, or
// both; its first three axes have the length of the scores' or 1. `causal` lets query i see keys
// 0 … i. The scores of all queries are never kept: the forward pass leaves lse = log sum exp of each
// row, from which the backward pass computes them again (Dao et al., 2022, arXiv:2205.14135). A
// query that may see no key gets zeros, and its lse is inf. Heads of keys and values may be fewer: each
// serves neighbouring heads of queries. Dropout draws its mask again in the backward pass.
#include "attention.h"

#if defined(__CUDACC__)
#include "device/held.h"
#else
#include "host/gemm.h"
#endif

namespace tl {

#if !defined(__CUDACC__)

// Rows of queries handled together: as many as leave their scores in the cache. Under a causal mask
// few rows compute less of what nobody sees; with AVX-512 it takes whole panels of keys too.
inline Index attention_block(Index queries, Index keys, bool causal) {
    const Index fitting = 32768 / (keys + 1) / kTileRows * kTileRows;
    const Index most = !causal ? 8 * kTileRows : kVectorBytes == 64 ? 32 : 4 * kTileRows;
    return std::min(queries, std::clamp<Index>(fitting, kTileRows, most));
}

// Rows side by side, which far apart would push each other out of the cache.
template <typename T>
struct DenseRows {
    Workspace<T> memory;
    Index dim;

    DenseRows(Index count, Index dim) : memory(count * dim), dim(dim) {}

    T* operator[](Index i) const { return memory + i * dim; }
    // As panels of A, read where they are.
    Panels<T> panels() const { return {memory, kTileRows * dim, 1, dim}; }

    void load(Rows<const T> from, Index first, Index count, T factor = 1) const {
        for (Index i = 0; i < count; ++i) {
            T* row = (*this)[i];
            for (Index d = 0; d < dim; ++d) row[d] = factor * from[first + i][d];
        }
    }
    void store(Rows<T> to, Index count) const {
        for (Index i = 0; i < count; ++i) std::copy_n((*this)[i], dim, to[i]);
    }
};

// An operand packed as panels of B for block_product: `cols` columns, column j at depth p in data[j
// * stride + p * depth_stride].
template <typename T>
struct PackedPanels {
    Workspace<T> memory;
    Panels<T> panels;

    PackedPanels(Index cols, Index depth, const T* data, Index stride, Index depth_stride)
        : memory(round_up(cols, kTileCols<T>) * depth),
          panels(pack<kTileCols<T>, T>(cols, depth, data, stride, depth_stride, memory)) {}
};

// scores[r, j] = q_r · k_j + mask, for the queries first … first + rows, which are in `q`, scaled, and
// the keys below `count`.
template <typename T>
void attention_scores(const Scoring<T>& scoring, Index head, Index first, Index rows, Index count,
                      const DenseRows<T>& q, const Panels<T>& keys, T* scores) {
    block_product<T>(rows, count, q.dim, q.panels(), keys, scores, count, {});
    for (Index r = 0; r < rows; ++r) {
        T* score = scores + r * count;
        const Index row = scoring.row(head, first + r),
                    limit = std::min(count, scoring.limit(first + r));
        const T* bias = scoring.bias ? scoring.bias + row : nullptr;
        const bool* allowed = scoring.allowed ? scoring.allowed + row : nullptr;
        for (Index j = 0; bias && j < limit; ++j) score[j] += bias[j];
        for (Index j = 0; allowed && j < limit; ++j)
            score[j] = allowed[j] ? score[j] : T(-INFINITY);
        std::fill(score + limit, score + count, T(-INFINITY));
    }
}

// The lanes of a vector joined in pairs, those in pairs again, and so on.
template <int half, class V, int... lane>
inline V turned(V v, std::integer_sequence<int, lane...>) {
    return __builtin_shufflevector(v, v, ((lane + half) % int(sizeof...(lane)))...);
}
template <class T, int half = Simd<T>::lanes / 2, class Join>
inline T join_lanes(typename Simd<T>::vector v, const Join& join) {
    if constexpr (half > 0) {
        const auto all = std::make_integer_sequence<int, Simd<T>::lanes>();
        return join_lanes<T, half / 2>(join(v, turned<half>(v, all)), join);
    } else {
        return v[0];
    }
}
constexpr auto kPlus = [](auto a, auto b) { return a + b; };
constexpr auto kLarger = [](auto a, auto b) { return b > a ? b : a; };

// Turns scores into weights but for a factor; returns their sum, and what was subtracted from the
// scores. Weights are zero where no key is seen.
template <typename T>
Both<T> exp_in_place(Index count, T* score) {
    using V = typename Simd<T>::vector;
    constexpr Index lanes = Simd<T>::lanes;
    const Index whole = count / lanes * lanes;
    V peaks = V{} - T(INFINITY), sums = {};
    for (Index j = 0; j < whole; j += lanes) peaks = kLarger(peaks, *(const V*)(score + j));
    T peak = join_lanes<T>(peaks, kLarger);
    for (Index j = whole; j < count; ++j) peak = kLarger(peak, score[j]);
    const T shift = peak == T(-INFINITY) ? T(0) : peak;
    for (Index j = 0; j < count; ++j) score[j] = exp(score[j] - shift);
    for (Index j = 0; j < whole; j += lanes) sums += *(const V*)(score + j);
    T sum = join_lanes<T>(sums, kPlus);
    for (Index j = whole; j < count; ++j) sum += score[j];
    return {sum, shift};
}

template <typename T>
T dot(Index count, const T* a, const T* b) {
    using V = typename Simd<T>::vector;
    constexpr Index lanes = Simd<T>::lanes;
    const Index whole = count / lanes * lanes;
    V sums = {};
    for (Index j = 0; j < whole; j += lanes) sums += *(const V*)(a + j) * *(const V*)(b + j);
    T sum = join_lanes<T>(sums, kPlus);
    for (Index j = whole; j < count; ++j) sum += a[j] * b[j];
    return sum;
}

template <REAL T>
HOST
void attention(FORWARD_PARAMETERS(T)) {
    TL_ATTENTION(T, T);
    const Index block = attention_block(queries, keys, causal),
                blocks = queries ? ceil_div(queries, block) : 0;
    // Where heads are few their queries are divided, at the price of packing the keys once per part.
    const Index parts =
        std::min(blocks, ceil_div(4 * num_threads(), std::max<Index>(1, batch * heads)));
    parallel(batch * heads * parts, [&](Index task) {
        const Index head = task / parts, part = task % parts;
        const Rows<const T> key = k.of(head / scoring.sharing()), value = v.of(head / scoring.sharing());
        const Rows<T> out = y.of(head);
        const DenseRows<T> query(block, dim);
        const PackedPanels<T> transposed(keys, dim, key.data, key.stride, 1);
        const PackedPanels<T> values(dim, keys, value.data, 1, value.stride);
        Workspace<T> scores(block * keys), factors(block), kept(keys);
        for (Index b = blocks * part / parts; b < blocks * (part + 1) / parts; ++b) {
            const Index first = b * block, rows = std::min(block, queries - first);
            const Index count = scoring.limit(first + rows - 1);
            query.load(q.of(head), first, rows, scoring.scale);
            // What the next block reads, and where the result goes.
            ask_for(q.of(head), first + rows, std::min(first + rows + block, queries), dim);
            ask_for(out, first, first + rows, dim);
            attention_scores<T>(scoring, head, first, rows, count, query, transposed.panels, scores);
            T *factor = factors, *logsum = lse + head * queries + first;
            for (Index r = 0; r < rows; ++r) {
                T* score = scores + r * count;
                const Both<T> found = exp_in_place<T>(count, score);
                factor[r] = found.first, logsum[r] = found.second;
                if (!dropout.drops()) continue;
                dropout.factors(head * queries + first + r, count, kept);
                for (Index j = 0; j < count; ++j) score[j] *= kept[j];
            }
            TL_INDEPENDENT
            for (Index r = 0; r < rows; ++r) {
                logsum[r] = factor[r] == 0 ? T(INFINITY) : logsum[r] + log(factor[r]);
                factor[r] = factor[r] == 0 ? T(0) : 1 / factor[r];
            }
            block_product<T>(rows, dim, count, {scores, kTileRows * count, 1, count}, values.panels,
                             out[first], out.stride, {});
            for (Index r = 0; r < rows; ++r)
                for (Index d = 0; d < dim; ++d) out[first + r][d] *= factor[r];
        }
    });
}

template <REAL T>
HOST
void attention_backward(
    GRADIENT_PARAMETERS(T), Heads<const T> y AXES(batch, heads, queries, dim),
    const T* lse OF(batch * heads * queries), Heads<T> dq AXES(batch, heads, queries, dim),
    Heads<T> dk AXES(batch, kv_heads, keys, dim), Heads<T> dv AXES(batch, kv_heads, keys, dim),
    NUMBERS_PARAMETERS) {
    TL_ATTENTION(T, T);
    const Index block = attention_block(queries, 2 * keys, causal);
    parallel(batch * kv_heads, [&](Index serving) {
        const DenseRows<T> query(block, dim), gradient(block, dim);
        // First the keys and values, then their gradients.
        const DenseRows<T> to_key(keys, dim), to_value(keys, dim);
        to_key.load(k.of(serving), 0, keys);
        to_value.load(v.of(serving), 0, keys);
        const PackedPanels<T> transposed(keys, dim, to_key[0], dim, 1);
        const PackedPanels<T> transposed_values(keys, dim, to_value[0], dim, 1);
        for (Index i = 0; i < keys * dim; ++i) to_key[0][i] *= scoring.scale;
        const PackedPanels<T> unturned(dim, keys, to_key[0], 1, dim);
        std::fill_n(to_key[0], keys * dim, T(0));
        std::fill_n(to_value[0], keys * dim, T(0));
        Workspace<T> weights(block * keys), scores(block * keys), means(block), kept(keys);
        for (Index head = serving * scoring.sharing(); head < (serving + 1) * scoring.sharing(); ++head) {
            const Rows<const T> out = y.of(head);
            const Rows<T> to_query = dq.of(head);
            for (Index first = 0; first < queries; first += block) {
                const Index rows = std::min(block, queries - first),
                            count = scoring.limit(first + rows - 1);
                query.load(q.of(head), first, rows, scoring.scale);
                gradient.load(g.of(head), first, rows);
                // Of the weights' gradients: sum w dw = g · y.
                for (Index r = 0; r < rows; ++r) means[r] = dot<T>(dim, gradient[r], out[first + r]);
                // What the next block reads, and where the results go.
                const Index next = first + rows, end = std::min(next + block, queries);
                ask_for(q.of(head), next, end, dim);
                ask_for(g.of(head), next, end, dim);
                ask_for(out, next, end, dim);
                ask_for(to_query, first, next, dim);
                ask_for(dk.of(serving), std::min(first, keys), std::min(next, keys), dim);
                ask_for(dv.of(serving), std::min(first, keys), std::min(next, keys), dim);
                attention_scores<T>(scoring, head, first, rows, count, query, transposed.panels,
                                    weights);
                block_product<T>(rows, count, dim, gradient.panels(), transposed_values.panels, scores,
                                 count, {});
                for (Index r = 0; r < rows; ++r) {
                    const Index at = head * queries + first + r;
                    const T shift = lse[at], mean = means[r];
                    T *weight = weights + r * count, *score = scores + r * count;
                    if (dropout.drops()) {
                        dropout.factors(at, count, kept);
                        TL_INDEPENDENT
                        for (Index j = 0; j < count; ++j) {
                            const T whole = exp(weight[j] - shift);
                            score[j] = whole * (score[j] * kept[j] - mean);
                            weight[j] = whole * kept[j];
                        }
                        continue;
                    }
                    TL_INDEPENDENT
                    for (Index j = 0; j < count; ++j) {
                        weight[j] = exp(weight[j] - shift);
                        score[j] = weight[j] * (score[j] - mean);
                    }
                }
                const PackedPanels<T> seen(dim, rows, query[0], 1, dim);
                const PackedPanels<T> incoming(dim, rows, gradient[0], 1, dim);
                block_product<T>(rows, dim, count, {scores, kTileRows * count, 1, count},
                                 unturned.panels, to_query[first], to_query.stride, {});
                block_product<T>(count, dim, rows, {scores, kTileRows, count, 1}, seen.panels,
                                 to_key[0], dim, {to_key[0], dim});
                block_product<T>(count, dim, rows, {weights, kTileRows, count, 1}, incoming.panels,
                                 to_value[0], dim, {to_value[0], dim});
            }
        }
        to_key.store(dk.of(serving), keys);
        to_value.store(dv.of(serving), keys);
    });
}

#else

template <typename T>
BLOCKS(batch * heads * (queries + 31 >> 5), 128)
void attention(FORWARD_PARAMETERS(T)) {
    using A = Acc<T>;
    constexpr int chunk = sizeof(A) == 8 ? 2 : 8;  // keys whose scores are held at once
    TL_ATTENTION(T, A);
    const Index blocks = (queries + kRows - 1) / kRows, head = blockIdx.x / blocks;
    const Index block = blockIdx.x % blocks * kRows,
                last = block + kRows < queries ? block + kRows : queries;
    const Index serving = (uint32_t)head / (uint32_t)scoring.sharing();
    const Rows<const T> all_keys = k.of(serving), all_values = v.of(serving);
    with_dims<A>(dim, [&](A* memory, auto kind) {
        using Row = decltype(kind);
        A *tile_keys = memory, *tile_values = memory + kTile<A> * Row::dims;
        each_held_row<A>(block, queries, [&](Index i, bool inside) {
            const Index at = head * queries + i, mask = scoring.row(head, i);
            Row query, sum;
            query.read(q.of(head)[i], dim);
            // Online softmax: the largest score so far, and of the weights exp(score - peak) their sum
            // and the values' weighted sum. Where a larger score comes, these shrink.
            A peak = -INFINITY, total = 0;
            for (Index first = 0; first < scoring.limit(last - 1); first += kTile<A>) {
                __syncthreads();
                load_tile<Row::dims>(tile_keys, all_keys, first, keys, dim);
                load_tile<Row::dims>(tile_values, all_values, first, keys, dim);
                __syncthreads();
#pragma unroll 1  // registers are full
                for (int j = 0; j < kTile<A>; j += chunk) {
                    A score[chunk], higher = peak;
#pragma unroll
                    for (int c = 0; c < chunk; ++c) {
                        score[c] = scoring.score(query.dot(tile_keys + (j + c) * Row::dims), mask,
                                                 i, first + j + c);
                        higher = score[c] > higher ? score[c] : higher;
                    }
                    const A shift = higher == -INFINITY ? A(0) : higher, shrink = exp(peak - shift);
                    total *= shrink, sum.scale(shrink), peak = higher;
#pragma unroll
                    for (int c = 0; c < chunk; ++c) {
                        A weight = exp(score[c] - shift);
                        total += weight;
                        if (dropout.drops()) weight *= dropout.factor(at, first + j + c);
                        sum.add(weight, tile_values + (j + c) * Row::dims);
                    }
                }
            }
            if (!inside) return;
            sum.scale(total == 0 ? A(0) : 1 / total);
            sum.write(y.of(head)[i], dim);
            lse[at] = total == 0 ? A(INFINITY) : peak + log(total);
        });
    });
}

// The gradient of q, and for attention_backward_keys the levels: lse and g_i · y_i of each query.
template <typename T>
BLOCKS(batch * heads * (queries + 31 >> 5), 128)
void attention_backward_queries(QUERIES_PARAMETERS(T)) {
    using A = Acc<T>;
    TL_ATTENTION(T, A);
    const Index blocks = (queries + kRows - 1) / kRows, head = blockIdx.x / blocks;
    const Index block = blockIdx.x % blocks * kRows,
                last = block + kRows < queries ? block + kRows : queries;
    const Index serving = (uint32_t)head / (uint32_t)scoring.sharing();
    const Rows<const T> all_keys = k.of(serving), all_values = v.of(serving);
    with_dims<A>(dim, [&](A* memory, auto kind) {
        using Row = decltype(kind);
        A *tile_keys = memory, *tile_values = memory + kTile<A> * Row::dims;
        each_held_row<A>(block, queries, [&](Index i, bool inside) {
            const Index at = head * queries + i, mask = scoring.row(head, i);
            Row query, gradient, sum;
            query.read(q.of(head)[i], dim);
            gradient.read(g.of(head)[i], dim);
            const A average = gradient.dot(y.of(head)[i], dim);
            const A shift = lse[at];
            for (Index first = 0; first < scoring.limit(last - 1); first += kTile<A>) {
                __syncthreads();
                load_tile<Row::dims>(tile_keys, all_keys, first, keys, dim);
                load_tile<Row::dims>(tile_values, all_values, first, keys, dim);
                __syncthreads();
#pragma unroll 1
                for (int j = 0; j < kTile<A>; ++j) {
                    const A* key = tile_keys + j * Row::dims;
                    const A weight = exp(scoring.score(query.dot(key), mask, i, first + j) - shift);
                    A slope = gradient.dot(tile_values + j * Row::dims);
                    if (dropout.drops()) slope *= dropout.factor(at, first + j);
                    sum.add(weight * (slope - average) * scoring.scale, key);
                }
            }
            if (!inside) return;
            sum.write(dq.of(head)[i], dim);
            levels[2 * at] = shift, levels[2 * at + 1] = average;
        });
    });
}

template <typename T>
BLOCKS(batch * kv_heads * (keys + 31 >> 5), 128)
void attention_backward_keys(KEYS_PARAMETERS(T)) {
    using A = Acc<T>;
    TL_ATTENTION(T, A);
    const Index blocks = (keys + kRows - 1) / kRows, serving = blockIdx.x / blocks;
    const Index block = blockIdx.x % blocks * kRows, sharing = scoring.sharing();
    // Queries before the block's first key see none of it.
    const Index start = causal ? block / kTile<A> * kTile<A> : 0;
    with_dims<A>(dim, [&](A* memory, auto kind) {
        using Row = decltype(kind);
        A *tile_queries = memory, *tile_gradients = memory + kTile<A> * Row::dims;
        each_held_row<A>(block, keys, [&](Index j, bool inside) {
            Row key, value, to_key, to_value;
            key.read(k.of(serving)[j], dim);
            value.read(v.of(serving)[j], dim);
            for (Index head = serving * sharing; head < (serving + 1) * sharing; ++head) {
                const Rows<const T> all_queries = q.of(head), all_gradients = g.of(head);
                for (Index first = start; first < queries; first += kTile<A>) {
                    __syncthreads();
                    load_tile<Row::dims>(tile_queries, all_queries, first, queries, dim);
                    load_tile<Row::dims>(tile_gradients, all_gradients, first, queries, dim);
                    __syncthreads();
                    const int count = queries - first < kTile<A> ? queries - first : kTile<A>;
#pragma unroll 1
                    for (int c = 0; c < count; ++c) {
                        const Index i = first + c, row = head * queries + i;
                        const A *query = tile_queries + c * Row::dims,
                                *gradient = tile_gradients + c * Row::dims;
                        const A score = scoring.score(key.dot(query), scoring.row(head, i), i, j);
                        const A shift = levels[2 * row], mean = levels[2 * row + 1];
                        const A weight = exp(score - shift);
                        const A factor = dropout.drops() ? dropout.factor(row, j) : A(1);
                        to_value.add(weight * factor, gradient);
                        const A slope = value.dot(gradient) * factor - mean;
                        to_key.add(weight * slope * scoring.scale, query);
                    }
                }
            }
            if (!inside) return;
            to_key.write(dk.of(serving)[j], dim);
            to_value.write(dv.of(serving)[j], dim);
        });
    });
}

#endif

}  // namespace tl
