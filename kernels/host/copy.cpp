// Neighbours on both sides are copied as bytes, other elements one at a time.
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
    parallel_range(elements / line.count, kBytes / (line.count * size) + 1, [=](Index first, Index last) {
        Walk walk(to, from, axes, count, first);
        for (Index i = first; i < last; ++i, walk.next()) copy_line(walk.to, walk.from, line, size, large);
        if (large) all_written();
    });
}

}  // namespace tl
