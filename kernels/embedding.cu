// Rows of a table by index, and the gradient of the table.
#include "tensorlite.h"

namespace tl {

// y[r] = table[ids[r]]; an id that is no row reads nothing and gives NaN
template <STORED T>
ROWS(rows, columns)
void embedding(const T* table OF(entries * columns), const Index* ids OF(rows),
               T* y OF(rows * columns), Index rows, Index columns, Index entries) {
    using A = Acc<T>;
    each_team<T>(rows, columns, [=](auto team) {
        for (Index r : team) {
            const Index id = ids[r];
            if (id >= 0 && id < entries) {
                const auto entry = team.row(table + id * columns);
                team.store(y + r * columns, [&](Slot j) { return entry[j]; });
            } else {
                team.store(y + r * columns, [](Slot) { return A(NAN); });
            }
        }
    });
}

// dtable[e] = sum of g[order[k]] for k in [start[e], start[e + 1]): `order` sorts the ids stably,
// so each entry is summed by one team, in the order of the batch.
template <STORED T>
ROWS(entries, columns)
void embedding_backward(const T* g OF(rows * columns), const Index* order OF(rows),
                        const Index* start OF(entries + 1), Acc<T>* dtable OF(entries * columns),
                        Index rows, Index columns, Index entries) {
    each_team<T>(entries, columns, [=](auto team) {
        for (Index e : team) {
            auto sums = team.sums(dtable + e * columns);
            for (Index k = start[e]; k < start[e + 1]; ++k) {
                const auto gradient = team.row(g + order[k] * columns);
                team.each([&](Slot j) { sums[j] += gradient[j]; });
            }
            team.finish(sums);
        }
    });
}

#if !defined(__CUDACC__)
// order and start for embedding_backward, by counting; ids are in range
HOST
void embedding_order(const Index* ids OF(rows), Index* order OF(rows), Index* start OF(entries + 1),
                     Index rows, Index entries) {
    for (Index e = 0; e <= entries; ++e) start[e] = 0;
    for (Index r = 0; r < rows; ++r) ++start[ids[r] + 1];
    for (Index e = 0; e < entries; ++e) start[e + 1] += start[e];
    // start[e] serves as the next free place of e, which leaves it one entry too far.
    for (Index r = 0; r < rows; ++r) order[start[ids[r]]++] = r;
    for (Index e = entries; e > 0; --e) start[e] = start[e - 1];
    start[0] = 0;
}
#endif

}  // namespace tl
