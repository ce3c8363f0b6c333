// Division by numbers that are known when a block begins, without a division per element.
#pragma once

namespace tl {

struct Divisor {
    uint32_t by, multiplier;
    TL_INLINE explicit Divisor(Index by)
        : by((uint32_t)by), multiplier(by > 1 ? 0xffffffffu / (uint32_t)by + 1 : 0) {}
    TL_INLINE uint32_t quotient(uint32_t n) const {
        if (by == 1) return n;
        const uint32_t found = __umulhi(n, multiplier);  // at most one too many
        return found - (n - found * by >= by);
    }
};

// body(plane, row, column) for every element of all planes, one a lane. A plane has fewer than 2^31
// elements. Where a lane goes next is added up, in planes and in elements of a plane.
template <typename F>
TL_INLINE void each_in_planes(Index planes, int rows, int columns, const F& body) {
    const Divisor of_plane((Index)rows * columns), of_row(columns);
    const uint32_t size = of_plane.by, first = (uint32_t)lane_index(), step = (uint32_t)lane_count();
    if (size == 0) return;
    const uint32_t planes_on = of_plane.quotient(step), elements_on = step - planes_on * size;
    Index plane = of_plane.quotient(first);
    for (uint32_t at = first - (uint32_t)plane * size; plane < planes;) {
        const uint32_t row = of_row.quotient(at);
        body(plane, (int)row, (int)(at - row * of_row.by));
        plane += planes_on, at += elements_on;
        if (at >= size) at -= size, ++plane;
    }
}

// An element's share: sum / count, rounded as IEEE wants, where a count is no more than 2^24.
TL_INLINE float divided(float sum, float count) {
    const float inverse = __fdividef(1.0f, count), share = sum * inverse;
    const float better = __fmaf_rn(__fmaf_rn(-share, count, sum), inverse, share);
    return fabsf(share) < INFINITY ? better : share;
}
TL_INLINE double divided(double sum, double count) { return sum / count; }

}  // namespace tl
