// What attention kernels share.
#pragma once

#include "tensorlite.h"

namespace tl {

// What turns a product of query and key into a score.
template <typename T>
struct Scoring {
    const T* bias;
    const bool* allowed;
    Index heads, keys, mask_batches, mask_heads, mask_rows;
    Acc<T> scale;
    bool causal;

    // Where the mask's row for a query begins.
    TL_INLINE Index row(Index head, Index query) const {
        const Index b = mask_batches > 1 ? head / heads : 0, h = mask_heads > 1 ? head % heads : 0;
        return ((b * mask_heads + h) * mask_rows + (mask_rows > 1 ? query : 0)) * keys;
    }
    // Keys from here on are hidden from the query.
    TL_INLINE Index limit(Index query) const {
        return causal && query + 1 < keys ? query + 1 : keys;
    }
    TL_INLINE Acc<T> score(Acc<T> product, Index row, Index query, Index key) const {
        if (key >= limit(query) || (allowed && !allowed[row + key])) return -INFINITY;
        return product * scale + (bias ? Acc<T>(bias[row + key]) : Acc<T>(0));
    }
};

}  // namespace tl
