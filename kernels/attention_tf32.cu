// Attention on tensor cores, for float32 rounded to TF32, after
// set_float32_matmul_precision("high"): what attention.cu computes, in device/attention.h's way. Rows
// are up to 64 or 128 elements long, of whole 16 bytes, and begin at such.
#include "attention.h"

#if defined(__CUDACC__)
#include "device/attention.h"

namespace tl {

BLOCKS(batch * heads * (queries + 63 >> 6), 128)
void attention_tf32_64(FORWARD_PARAMETERS(float)) {
    TL_ATTENTION(float, float);
    attend<64>(scoring, dropout, q, k, v, y, lse, (int)dim);
}

BLOCKS(batch * heads * (queries + 63 >> 6), 128)
void attention_tf32_queries_64(QUERIES_PARAMETERS(float)) {
    TL_ATTENTION(float, float);
    pass_over_queries<64>(scoring, dropout, g, q, k, v, y, lse, dq, (Level*)levels, (int)dim);
}

BLOCKS(batch * kv_heads * (keys + 63 >> 6), 128)
void attention_tf32_keys_64(KEYS_PARAMETERS(float)) {
    TL_ATTENTION(float, float);
    pass_over_keys<64>(scoring, dropout, g, q, k, v, (const Level*)levels, dk, dv, (int)dim);
}

BLOCKS(batch * heads * (queries + 63 >> 6), 128)
void attention_tf32_128(FORWARD_PARAMETERS(float)) {
    TL_ATTENTION(float, float);
    attend<128>(scoring, dropout, q, k, v, y, lse, (int)dim);
}

BLOCKS(batch * heads * (queries + 63 >> 6), 128, 1, 96 * 1024)
void attention_tf32_queries_128(QUERIES_PARAMETERS(float)) {
    TL_ATTENTION(float, float);
    pass_over_queries<128>(scoring, dropout, g, q, k, v, y, lse, dq, (Level*)levels, (int)dim);
}

BLOCKS(batch * kv_heads * (keys + 63 >> 6), 128, 1, 96 * 1024)
void attention_tf32_keys_128(KEYS_PARAMETERS(float)) {
    TL_ATTENTION(float, float);
    pass_over_keys<128>(scoring, dropout, g, q, k, v, (const Level*)levels, dk, dv, (int)dim);
}

}  // namespace tl
#endif
