// Attention on tensor cores, for 16-bit floats: what attention.cu computes, in device/attention.h's
// way. Rows are up to 64, 128 or 256 elements long, of whole 16 bytes, and begin at such.
#include "attention.h"

#if defined(__CUDACC__)
#include "device/attention.h"

namespace tl {

template <SHORT T>
BLOCKS(batch * heads * (queries + 63 >> 6), 128, 3)
void attention_tiles_64(
    ATTENTION_PARAMETERS(T), Heads<T> y AXES(batch, heads, queries, dim),
    float* lse OF(batch * heads * queries), NUMBERS_PARAMETERS) {
    TL_ATTENTION(T, float);
    attend<64>(scoring, dropout, q, k, v, y, lse, (int)dim);
}

template <SHORT T>
BLOCKS(batch * heads * (queries + 63 >> 6), 128, 3)
void attention_tiles_queries_64(
    GRADIENT_PARAMETERS(T), Heads<const T> y AXES(batch, heads, queries, dim),
    const float* lse OF(batch * heads * queries), Heads<T> dq AXES(batch, heads, queries, dim),
    float* levels OF(batch * heads * queries * 2), NUMBERS_PARAMETERS) {
    TL_ATTENTION(T, float);
    pass_over_queries<64>(scoring, dropout, g, q, k, v, y, lse, dq, (Level*)levels, (int)dim);
}

template <SHORT T>
BLOCKS(batch * kv_heads * (keys + 63 >> 6), 128, 3)
void attention_tiles_keys_64(
    GRADIENT_PARAMETERS(T), const float* levels OF(batch * heads * queries * 2),
    Heads<T> dk AXES(batch, kv_heads, keys, dim), Heads<T> dv AXES(batch, kv_heads, keys, dim),
    NUMBERS_PARAMETERS) {
    TL_ATTENTION(T, float);
    pass_over_keys<64>(scoring, dropout, g, q, k, v, (const Level*)levels, dk, dv, (int)dim);
}

template <SHORT T>
BLOCKS(batch * heads * (queries + 63 >> 6), 128)
void attention_tiles_128(
    ATTENTION_PARAMETERS(T), Heads<T> y AXES(batch, heads, queries, dim),
    float* lse OF(batch * heads * queries), NUMBERS_PARAMETERS) {
    TL_ATTENTION(T, float);
    attend<128>(scoring, dropout, q, k, v, y, lse, (int)dim);
}

template <SHORT T>
BLOCKS(batch * heads * (queries + 63 >> 6), 128)
void attention_tiles_queries_128(
    GRADIENT_PARAMETERS(T), Heads<const T> y AXES(batch, heads, queries, dim),
    const float* lse OF(batch * heads * queries), Heads<T> dq AXES(batch, heads, queries, dim),
    float* levels OF(batch * heads * queries * 2), NUMBERS_PARAMETERS) {
    TL_ATTENTION(T, float);
    pass_over_queries<128>(scoring, dropout, g, q, k, v, y, lse, dq, (Level*)levels, (int)dim);
}

template <SHORT T>
BLOCKS(batch * kv_heads * (keys + 63 >> 6), 128)
void attention_tiles_keys_128(
    GRADIENT_PARAMETERS(T), const float* levels OF(batch * heads * queries * 2),
    Heads<T> dk AXES(batch, kv_heads, keys, dim), Heads<T> dv AXES(batch, kv_heads, keys, dim),
    NUMBERS_PARAMETERS) {
    TL_ATTENTION(T, float);
    pass_over_keys<128>(scoring, dropout, g, q, k, v, (const Level*)levels, dk, dv, (int)dim);
}

template <SHORT T>
BLOCKS(batch * heads * (queries + 63 >> 6), 128)
void attention_tiles_256(
    ATTENTION_PARAMETERS(T), Heads<T> y AXES(batch, heads, queries, dim),
    float* lse OF(batch * heads * queries), NUMBERS_PARAMETERS) {
    TL_ATTENTION(T, float);
    attend<256>(scoring, dropout, q, k, v, y, lse, (int)dim);
}

}  // namespace tl
#endif
