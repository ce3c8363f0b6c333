// Attention on tensor cores, for 16-bit floats: what attention.cu computes, in device/attention.h's
// way. Rows are up to 64, 128 or 256 elements long, of whole 16 bytes, and begin at such.
#include "attention.h"

#if defined(__CUDACC__)
#include "device/attention.h"

namespace tl {

template <SHORT T>
BLOCKS(batch * heads * (queries + 63 >> 6), 128, 3)
void attention_tiles_64(FORWARD_PARAMETERS(T)) {
    TL_ATTENTION(T, float);
    attend<64>(scoring, dropout, q, k, v, y, lse, (int)dim);
}

template <SHORT T>
BLOCKS(batch * heads * (queries + 63 >> 6), 128, 3)
void attention_tiles_queries_64(QUERIES_PARAMETERS(T)) {
    TL_ATTENTION(T, float);
    pass_over_queries<64>(scoring, dropout, g, q, k, v, y, lse, dq, (Level*)levels, (int)dim);
}

template <SHORT T>
BLOCKS(batch * kv_heads * (keys + 63 >> 6), 128, 3)
void attention_tiles_keys_64(KEYS_PARAMETERS(T)) {
    TL_ATTENTION(T, float);
    pass_over_keys<64>(scoring, dropout, g, q, k, v, (const Level*)levels, dk, dv, (int)dim);
}

template <SHORT T>
BLOCKS(batch * heads * (queries + 63 >> 6), 128)
void attention_tiles_128(FORWARD_PARAMETERS(T)) {
    TL_ATTENTION(T, float);
    attend<128>(scoring, dropout, q, k, v, y, lse, (int)dim);
}

template <SHORT T>
BLOCKS(batch * heads * (queries + 63 >> 6), 128)
void attention_tiles_queries_128(QUERIES_PARAMETERS(T)) {
    TL_ATTENTION(T, float);
    pass_over_queries<128>(scoring, dropout, g, q, k, v, y, lse, dq, (Level*)levels, (int)dim);
}

template <SHORT T>
BLOCKS(batch * kv_heads * (keys + 63 >> 6), 128)
void attention_tiles_keys_128(KEYS_PARAMETERS(T)) {
    TL_ATTENTION(T, float);
    pass_over_keys<128>(scoring, dropout, g, q, k, v, (const Level*)levels, dk, dv, (int)dim);
}

template <SHORT T>
BLOCKS(batch * heads * (queries + 63 >> 6), 128)
void attention_tiles_256(FORWARD_PARAMETERS(T)) {
    TL_ATTENTION(T, float);
    attend<256>(scoring, dropout, q, k, v, y, lse, (int)dim);
}

}  // namespace tl
#endif
