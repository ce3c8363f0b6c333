// Attention on tensor cores, for 16-bit floats: what attention.cu computes, in device/attention.h's
// way. Rows are up to 64, 128 or 256 elements long, of whole 16 bytes, and begin at such.
#include "attention.h"

#if defined(__CUDACC__)
#include "device/attention.h"

namespace tl {

template <SHORT T>
BLOCKS(batch * heads * (queries + 63 >> 6), 128, 3)
void attention_tiles_64(
    Heads<const T> q AXES(batch, heads, queries, dim),
    Heads<const T> k AXES(batch, kv_heads, keys, dim),
    Heads<const T> v AXES(batch, kv_heads, keys, dim),
    const T* bias OPTIONAL(mask_batches * mask_heads * mask_rows * keys),
    const bool* allowed OPTIONAL(mask_batches * mask_heads * mask_rows * keys),
    const Index* base OPTIONAL(1), Heads<T> y AXES(batch, heads, queries, dim),
    float* lse OF(batch * heads * queries),
    Index batch, Index heads, Index kv_heads, Index queries, Index keys, Index dim,
    Index mask_batches, Index mask_heads, Index mask_rows, double scale, bool causal, double drop,
    uint64_t seed, uint64_t offset) {
    TL_ATTENTION(T, float);
    attend<64>(scoring, dropout, q, k, v, y, lse, (int)dim);
}

template <SHORT T>
BLOCKS(batch * heads * (queries + 63 >> 6), 128, 3)
void attention_tiles_queries_64(
    Heads<const T> g AXES(batch, heads, queries, dim),
    Heads<const T> q AXES(batch, heads, queries, dim),
    Heads<const T> k AXES(batch, kv_heads, keys, dim),
    Heads<const T> v AXES(batch, kv_heads, keys, dim),
    const T* bias OPTIONAL(mask_batches * mask_heads * mask_rows * keys),
    const bool* allowed OPTIONAL(mask_batches * mask_heads * mask_rows * keys),
    const Index* base OPTIONAL(1), Heads<const T> y AXES(batch, heads, queries, dim),
    const float* lse OF(batch * heads * queries), Heads<T> dq AXES(batch, heads, queries, dim),
    float* levels OF(batch * heads * queries * 2),
    Index batch, Index heads, Index kv_heads, Index queries, Index keys, Index dim,
    Index mask_batches, Index mask_heads, Index mask_rows, double scale, bool causal, double drop,
    uint64_t seed, uint64_t offset) {
    TL_ATTENTION(T, float);
    pass_over_queries<64>(scoring, dropout, g, q, k, v, y, lse, dq, (Level*)levels, (int)dim);
}

template <SHORT T>
BLOCKS(batch * kv_heads * (keys + 63 >> 6), 128, 3)
void attention_tiles_keys_64(
    Heads<const T> g AXES(batch, heads, queries, dim),
    Heads<const T> q AXES(batch, heads, queries, dim),
    Heads<const T> k AXES(batch, kv_heads, keys, dim),
    Heads<const T> v AXES(batch, kv_heads, keys, dim),
    const T* bias OPTIONAL(mask_batches * mask_heads * mask_rows * keys),
    const bool* allowed OPTIONAL(mask_batches * mask_heads * mask_rows * keys),
    const Index* base OPTIONAL(1), const float* levels OF(batch * heads * queries * 2),
    Heads<T> dk AXES(batch, kv_heads, keys, dim), Heads<T> dv AXES(batch, kv_heads, keys, dim),
    Index batch, Index heads, Index kv_heads, Index queries, Index keys, Index dim,
    Index mask_batches, Index mask_heads, Index mask_rows, double scale, bool causal, double drop,
    uint64_t seed, uint64_t offset) {
    TL_ATTENTION(T, float);
    pass_over_keys<64>(scoring, dropout, g, q, k, v, (const Level*)levels, dk, dv, (int)dim);
}

template <SHORT T>
BLOCKS(batch * heads * (queries + 63 >> 6), 128)
void attention_tiles_128(
    Heads<const T> q AXES(batch, heads, queries, dim),
    Heads<const T> k AXES(batch, kv_heads, keys, dim),
    Heads<const T> v AXES(batch, kv_heads, keys, dim),
    const T* bias OPTIONAL(mask_batches * mask_heads * mask_rows * keys),
    const bool* allowed OPTIONAL(mask_batches * mask_heads * mask_rows * keys),
    const Index* base OPTIONAL(1), Heads<T> y AXES(batch, heads, queries, dim),
    float* lse OF(batch * heads * queries),
    Index batch, Index heads, Index kv_heads, Index queries, Index keys, Index dim,
    Index mask_batches, Index mask_heads, Index mask_rows, double scale, bool causal, double drop,
    uint64_t seed, uint64_t offset) {
    TL_ATTENTION(T, float);
    attend<128>(scoring, dropout, q, k, v, y, lse, (int)dim);
}

template <SHORT T>
BLOCKS(batch * heads * (queries + 63 >> 6), 128)
void attention_tiles_queries_128(
    Heads<const T> g AXES(batch, heads, queries, dim),
    Heads<const T> q AXES(batch, heads, queries, dim),
    Heads<const T> k AXES(batch, kv_heads, keys, dim),
    Heads<const T> v AXES(batch, kv_heads, keys, dim),
    const T* bias OPTIONAL(mask_batches * mask_heads * mask_rows * keys),
    const bool* allowed OPTIONAL(mask_batches * mask_heads * mask_rows * keys),
    const Index* base OPTIONAL(1), Heads<const T> y AXES(batch, heads, queries, dim),
    const float* lse OF(batch * heads * queries), Heads<T> dq AXES(batch, heads, queries, dim),
    float* levels OF(batch * heads * queries * 2),
    Index batch, Index heads, Index kv_heads, Index queries, Index keys, Index dim,
    Index mask_batches, Index mask_heads, Index mask_rows, double scale, bool causal, double drop,
    uint64_t seed, uint64_t offset) {
    TL_ATTENTION(T, float);
    pass_over_queries<128>(scoring, dropout, g, q, k, v, y, lse, dq, (Level*)levels, (int)dim);
}

template <SHORT T>
BLOCKS(batch * kv_heads * (keys + 63 >> 6), 128)
void attention_tiles_keys_128(
    Heads<const T> g AXES(batch, heads, queries, dim),
    Heads<const T> q AXES(batch, heads, queries, dim),
    Heads<const T> k AXES(batch, kv_heads, keys, dim),
    Heads<const T> v AXES(batch, kv_heads, keys, dim),
    const T* bias OPTIONAL(mask_batches * mask_heads * mask_rows * keys),
    const bool* allowed OPTIONAL(mask_batches * mask_heads * mask_rows * keys),
    const Index* base OPTIONAL(1), const float* levels OF(batch * heads * queries * 2),
    Heads<T> dk AXES(batch, kv_heads, keys, dim), Heads<T> dv AXES(batch, kv_heads, keys, dim),
    Index batch, Index heads, Index kv_heads, Index queries, Index keys, Index dim,
    Index mask_batches, Index mask_heads, Index mask_rows, double scale, bool causal, double drop,
    uint64_t seed, uint64_t offset) {
    TL_ATTENTION(T, float);
    pass_over_keys<128>(scoring, dropout, g, q, k, v, (const Level*)levels, dk, dv, (int)dim);
}

template <SHORT T>
BLOCKS(batch * heads * (queries + 63 >> 6), 128)
void attention_tiles_256(
    Heads<const T> q AXES(batch, heads, queries, dim),
    Heads<const T> k AXES(batch, kv_heads, keys, dim),
    Heads<const T> v AXES(batch, kv_heads, keys, dim),
    const T* bias OPTIONAL(mask_batches * mask_heads * mask_rows * keys),
    const bool* allowed OPTIONAL(mask_batches * mask_heads * mask_rows * keys),
    const Index* base OPTIONAL(1), Heads<T> y AXES(batch, heads, queries, dim),
    float* lse OF(batch * heads * queries),
    Index batch, Index heads, Index kv_heads, Index queries, Index keys, Index dim,
    Index mask_batches, Index mask_heads, Index mask_rows, double scale, bool causal, double drop,
    uint64_t seed, uint64_t offset) {
    TL_ATTENTION(T, float);
    attend<256>(scoring, dropout, q, k, v, y, lse, (int)dim);
}

}  // namespace tl
#endif
