// What attention kernels share.
#pragma once

#include "philox.h"

namespace tl {

// What turns a product of query and key into a score. Heads are counted through all batches; each
// head of keys and values serves `sharing` neighbouring heads of queries.
template <typename T>
struct Scoring {
    const T* bias;
    const bool* allowed;
    Index heads, kv_heads, queries, keys, mask_batches, mask_heads, mask_rows;
    Acc<T> scale;
    bool causal;

#if defined(__CUDACC__)  // in 32 bits: a division of 64 is a call
    TL_INLINE Index sharing() const { return uint32_t(heads) / uint32_t(kv_heads); }
#else
    Index sharing() const { return heads / kv_heads; }
#endif
    // Where the mask of a head begins, and how far apart its rows are.
    TL_INLINE Index mask(Index head) const {
#if defined(__CUDACC__)
        const uint32_t batch = uint32_t(head) / uint32_t(heads);
#else
        const Index batch = head / heads;
#endif
        const Index b = mask_batches > 1 ? batch : 0, h = mask_heads > 1 ? head - batch * heads : 0;
        return (b * mask_heads + h) * mask_rows * keys;
    }
    TL_INLINE Index mask_step() const { return mask_rows > 1 ? keys : 0; }
    // Where the mask's row for a query begins.
    TL_INLINE Index row(Index head, Index query) const { return mask(head) + query * mask_step(); }
    // Keys from here on are hidden from the query.
    TL_INLINE Index limit(Index query) const {
        return causal && query + 1 < keys ? query + 1 : keys;
    }
    TL_INLINE Acc<T> score(Acc<T> product, Index row, Index query, Index key) const {
        if (key >= limit(query) || (allowed && !allowed[row + key])) return -INFINITY;
        return product * scale + (bias ? Acc<T>(bias[row + key]) : Acc<T>(0));
    }
};

// Which weights dropout leaves. The random words of a row of weights begin with a block of four, so
// that a block belongs to four neighbouring keys of one query.
template <typename A>
struct Dropout {
    int least;  // of words' upper 24 bits that are kept; 0: nothing is dropped
    A scale;    // of what is kept
    uint64_t seed, offset;
    Index blocks;  // of a row

    TL_INLINE Dropout(double p, uint64_t seed, uint64_t offset, const Index* base, Index keys)
        : least(least_kept(p)), scale(A(1 / (1 - p))), seed(seed),
          offset(offset + (base ? uint64_t(*base) : 0)), blocks((keys + 3) / 4) {}

    TL_INLINE bool drops() const { return least > 0; }
    TL_INLINE bool keeps(uint32_t word) const { return int(word >> 8) >= least; }
    // Of a row, counted through all heads, and a key.
    TL_INLINE uint64_t block(Index row, Index key) const {
        return offset + uint64_t(row * blocks + key / 4);
    }
#if defined(__CUDACC__)
    TL_INLINE void draw(uint64_t block, uint32_t (&words)[4]) const {
        uint64_t w0, w1, w2, w3;
        philox(seed, block, w0, w1, w2, w3);
        words[0] = uint32_t(w0), words[1] = uint32_t(w1), words[2] = uint32_t(w2);
        words[3] = uint32_t(w3);
    }
    // What a weight is multiplied by.
    TL_INLINE A factor(Index row, Index key) const {
        uint32_t words[4];
        draw(block(row, key), words);
        const uint32_t low = key % 2 ? words[1] : words[0], high = key % 2 ? words[3] : words[2];
        return keeps(key % 4 < 2 ? low : high) ? scale : A(0);
    }
#else
    // What a row's first weights are multiplied by.
    void factors(Index row, Index count, A* factor) const {
        alignas(32) uint32_t words[32];
        for (Index j = 0; j < count; j += 32) {
            draw_eight(seed, block(row, j), words);
            const Index some = count - j < 32 ? count - j : 32;
            for (Index e = 0; e < some; ++e) factor[j + e] = keeps(words[e]) ? scale : A(0);
        }
    }
#endif
};

// What all kernels are given; what the passes of the gradient are given, with the gradient before it;
// and the whole lists of those kernels that there are for several kinds of numbers. The pass over
// queries leaves two numbers a query to the pass over keys: `levels`.
#define ATTENTION_PARAMETERS(T)                                                                  \
    PARAMETERS(Heads<const T> q AXES(batch, heads, queries, dim),                                \
               Heads<const T> k AXES(batch, kv_heads, keys, dim),                                \
               Heads<const T> v AXES(batch, kv_heads, keys, dim),                                \
               const T* bias OPTIONAL(mask_batches * mask_heads * mask_rows * keys),             \
               const bool* allowed OPTIONAL(mask_batches * mask_heads * mask_rows * keys),       \
               const Index* base OPTIONAL(1))
#define GRADIENT_PARAMETERS(T)                                                                   \
    PARAMETERS(Heads<const T> g AXES(batch, heads, queries, dim), ATTENTION_PARAMETERS(T))
#define NUMBERS_PARAMETERS                                                                       \
    PARAMETERS(Index batch, Index heads, Index kv_heads, Index queries, Index keys, Index dim,   \
               Index mask_batches, Index mask_heads, Index mask_rows, double scale, bool causal, \
               double drop, uint64_t seed, uint64_t offset)
#define FORWARD_PARAMETERS(T)                                                                    \
    PARAMETERS(ATTENTION_PARAMETERS(T), Heads<T> y AXES(batch, heads, queries, dim),             \
               Acc<T>* lse OF(batch * heads * queries), NUMBERS_PARAMETERS)
#define QUERIES_PARAMETERS(T)                                                                    \
    PARAMETERS(GRADIENT_PARAMETERS(T), Heads<const T> y AXES(batch, heads, queries, dim),        \
               const Acc<T>* lse OF(batch * heads * queries),                                    \
               Heads<T> dq AXES(batch, heads, queries, dim),                                     \
               Acc<T>* levels OF(batch * heads * queries * 2), NUMBERS_PARAMETERS)
#define KEYS_PARAMETERS(T)                                                                       \
    PARAMETERS(GRADIENT_PARAMETERS(T), const Acc<T>* levels OF(batch * heads * queries * 2),     \
               Heads<T> dk AXES(batch, kv_heads, keys, dim),                                     \
               Heads<T> dv AXES(batch, kv_heads, keys, dim), NUMBERS_PARAMETERS)

#define TL_ATTENTION(T, A)                                                                         \
    const Scoring<T> scoring{bias,         allowed,    heads,     kv_heads, queries, keys,         \
                             mask_batches, mask_heads, mask_rows, A(scale), causal};               \
    const Dropout<A> dropout(drop, seed, offset, base, keys)

}  // namespace tl
