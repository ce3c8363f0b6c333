// Neighbours on both sides are copied as bytes, transposed matrices in tiles, other elements one at a
// time.
#include "copy.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "stream.h"

namespace tl {
namespace {

constexpr Index kBytes = 1 << 16;  // worth handing to another thread

template <typename T>
void copy_elements(char* to, const char* from, CopyAxis line) {
    for (Index i = 0; i < line.count; ++i)
        std::memcpy(to + i * line.to, from + i * line.from, sizeof(T));
}

void copy_line(char* to, const char* from, CopyAxis line, Index size, bool large) {
    if (line.to == size && line.from == size) {
        if (large) return write_past(to, from, line.count * size);
        std::memcpy(to, from, line.count * size);
        return;
    }
    switch (size) {
        case 1: return copy_elements<uint8_t>(to, from, line);
        case 2: return copy_elements<uint16_t>(to, from, line);
        case 4: return copy_elements<uint32_t>(to, from, line);
        case 8: return copy_elements<uint64_t>(to, from, line);
    }
    for (Index i = 0; i < line.count; ++i) std::memcpy(to + i * line.to, from + i * line.from, size);
}

// Leaves out axes of one element, puts the others in the order of `to` in memory, and makes one of
// neighbours that both sides walk through alike. Returns how many are left.
int simplify(CopyAxis* axes, int count) {
    CopyAxis* end = std::remove_if(axes, axes + count, [](CopyAxis a) { return a.count == 1; });
    std::stable_sort(axes, end, [](CopyAxis a, CopyAxis b) { return std::abs(a.to) > std::abs(b.to); });
    int kept = 0;
    for (CopyAxis* axis = axes; axis != end; ++axis) {
        CopyAxis* outer = kept ? axes + kept - 1 : nullptr;
        if (outer && outer->to == axis->count * axis->to && outer->from == axis->count * axis->from)
            *outer = {outer->count * axis->count, axis->to, axis->from};
        else
            axes[kept++] = *axis;
    }
    return kept;
}

// The place of a line in both arrays, and the way from one to the next.
class Walk {
    const CopyAxis* axes_;
    int count_;
    Index at_[kMostAxes];

  public:
    char* to;
    const char* from;

    Walk(char* to, const char* from, const CopyAxis* axes, int count, Index line)
        : axes_(axes), count_(count), to(to), from(from) {
        for (int a = count - 1; a >= 0; line /= axes[a].count, --a) {
            at_[a] = line % axes[a].count;
            move(a, at_[a]);
        }
    }
    void next() {
        for (int a = count_ - 1; a >= 0; --a) {
            move(a, 1);
            if (++at_[a] < axes_[a].count) return;
            move(a, -at_[a]);
            at_[a] = 0;
        }
    }

  private:
    void move(int axis, Index by) { to += by * axes_[axis].to, from += by * axes_[axis].from; }
};

// --- transposed: neighbours there are no neighbours here ----------------------------------------

// Copies `rows` x `columns` elements, at most a tile: rows lie apart in `to`, columns in `from`. Every
// cache line of either side is touched once: lines a power of two apart share few places in a cache,
// and would push each other out.
template <typename T>
void copy_tile(char* to, const char* from, Index to_step, Index from_step, Index rows, Index columns) {
    constexpr Index kTile = sizeof(T) == 8 ? 8 : 16;
    alignas(64) T in[kTile][kTile], out[kTile][kTile];
    if (rows == kTile && columns == kTile) {
        for (Index j = 0; j < kTile; ++j) std::memcpy(in[j], from + j * from_step, sizeof in[j]);
        for (Index i = 0; i < kTile; ++i)
            for (Index j = 0; j < kTile; ++j) out[i][j] = in[j][i];
        for (Index i = 0; i < kTile; ++i) std::memcpy(to + i * to_step, out[i], sizeof out[i]);
        return;
    }
    for (Index i = 0; i < rows; ++i)
        for (Index j = 0; j < columns; ++j)
            std::memcpy(to + i * to_step + j * sizeof(T), from + j * from_step + i * sizeof(T), sizeof(T));
}

// `across` has neighbours in `from`, `line` in `to`; `axes` are the others.
template <typename T>
void copy_transposed(char* to, const char* from, const CopyAxis* axes, int count, Index outer,
                     CopyAxis across, CopyAxis line) {
    constexpr Index kTile = sizeof(T) == 8 ? 8 : 16, kSize = sizeof(T);
    const Index strips = (across.count + kTile - 1) / kTile;
    const Index strip_bytes = kTile * line.count * kSize;
    parallel_range(outer * strips, kBytes / strip_bytes + 1, [=](Index first, Index last) {
        Walk walk(to, from, axes, count, first / strips);
        for (Index s = first; s < last; ++s) {
            const Index i = s % strips * kTile, rows = std::min(kTile, across.count - i);
            for (Index j = 0; j < line.count; j += kTile)
                copy_tile<T>(walk.to + i * across.to + j * kSize, walk.from + i * kSize + j * line.from,
                             across.to, line.from, rows, std::min(kTile, line.count - j));
            if (s % strips == strips - 1) walk.next();
        }
    });
}

// Copies where tiles pay; says whether it did.
bool copy_in_tiles(char* to, const char* from, const CopyAxis* axes, int count, Index elements,
                   CopyAxis line, Index size) {
    constexpr Index kFewest = 8;
    if (line.to != size || line.from == size || line.count < kFewest || size > 8) return false;
    int at = count - 1;
    while (at >= 0 && (axes[at].from != size || axes[at].count < kFewest)) --at;
    if (at < 0) return false;
    CopyAxis others[kMostAxes];
    const CopyAxis across = axes[at];
    std::copy(axes + at + 1, axes + count, std::copy(axes, axes + at, others));
    const Index outer = elements / line.count / across.count;
    switch (size) {
        case 1: copy_transposed<uint8_t>(to, from, others, count - 1, outer, across, line); break;
        case 2: copy_transposed<uint16_t>(to, from, others, count - 1, outer, across, line); break;
        case 4: copy_transposed<uint32_t>(to, from, others, count - 1, outer, across, line); break;
        case 8: copy_transposed<uint64_t>(to, from, others, count - 1, outer, across, line); break;
        default: return false;
    }
    return true;
}

}  // namespace

void copy_strided(char* to, const char* from, CopyAxis* axes, int count, Index size) {
    Index elements = 1;
    for (int i = 0; i < count; ++i) elements *= axes[i].count;
    if (elements == 0) return;
    const bool large = is_large(to, elements * size);
    count = simplify(axes, count);
    const CopyAxis line = count ? axes[--count] : CopyAxis{1, size, size};
    if (count == 0) {
        constexpr Index kUnit = 64;  // elements: parts begin at whole vectors
        const Index units = (line.count + kUnit - 1) / kUnit;
        return parallel_range(units, kBytes / (kUnit * size) + 1, [=](Index first, Index last) {
            const Index begin = first * kUnit, end = last < units ? last * kUnit : line.count;
            const CopyAxis part = {end - begin, line.to, line.from};
            copy_line(to + begin * line.to, from + begin * line.from, part, size, large);
            if (large) all_written();
        });
    }
    if (copy_in_tiles(to, from, axes, count, elements, line, size)) return;
    parallel_range(elements / line.count, kBytes / (line.count * size) + 1, [=](Index first, Index last) {
        Walk walk(to, from, axes, count, first);
        for (Index i = first; i < last; ++i, walk.next()) copy_line(walk.to, walk.from, line, size, large);
        if (large) all_written();
    });
}

}  // namespace tl
