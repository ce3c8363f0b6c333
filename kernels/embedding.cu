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
                team.store(y + r * columns, [&](Slot j) { return entry[j]; }, entry);
            } else {
                team.store(y + r * columns, [](Slot) { return A(NAN); });
            }
        }
    });
}

// dtable[e] = sum of g[order[k]] for k in [start[e], start[e + 1]): `order` sorts the ids stably, so
// each entry is summed in the order of the batch. The entry `padding`, if it is one, gets zeros.
#if !defined(__CUDACC__)
template <STORED T>
HOST
void embedding_backward(const T* g OF(rows * columns), const Index* order OF(rows),
                        const Index* start OF(entries + 1), Acc<T>* dtable OF(entries * columns),
                        Index rows, Index columns, Index entries, Index padding) {
    each_team<T>(entries, columns, [=](auto team) {
        for (Index e : team) {
            auto sums = team.sums(dtable + e * columns);
            const Index end = e == padding ? start[e] : start[e + 1];
            for (Index k = start[e]; k < end; ++k) {
                const auto gradient = team.row(g + order[k] * columns);
                team.each([&](Slot j) { sums[j] += gradient[j]; });
            }
            team.finish(sums);
        }
    });
}
#else
// On CUDA a token may fill half of the batch, so the sorted rows are cut in chunks of 64. A chunk sums
// the entries that lie in it alone; of the one that began before it the sum goes to partial[c][0], of
// the one that goes on behind it to partial[c][1].
constexpr Index kChunk = 64;

template <STORED T>
BLOCKS(chunks * (columns + 127 >> 7), 128)
void embedding_chunks(const T* g OF(rows * columns), const Index* sorted OF(rows),
                      const Index* order OF(rows), const Index* start OF(entries + 1),
                      Acc<T>* partial OF(chunks * 2 * columns), Acc<T>* dtable OF(entries * columns),
                      Index rows, Index columns, Index entries, Index chunks) {
    using A = Acc<T>;
    const uint32_t across = (uint32_t)(columns + 127) / 128, c = blockIdx.x / across;
    const Index column = (Index)(blockIdx.x % across) * 128 + threadIdx.x;
    const Index begin = c * kChunk, end = begin + kChunk < rows ? begin + kChunk : rows;
    if (column >= columns) return;
    A sum = 0;
    Index entry = sorted[begin];
    auto write = [&] {
        if (entry < 0 || entry >= entries) return;
        const bool began = start[entry] < begin, goes_on = start[entry + 1] > end;
        A* to = began || goes_on ? partial + (c * 2 + !began) * columns : dtable + entry * columns;
        to[column] = sum;
    };
    auto add = [&](Index id, A value) {
        if (id != entry) {  // the same in all lanes
            write();
            sum = 0, entry = id;
        }
        sum += value;
    };
    Index k = begin;
    for (; k + 4 <= end; k += 4) {  // four rows are under way at a time
        Index id[4];
        A value[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            id[i] = sorted[k + i];
            value[i] = A(g[order[k + i] * columns + column]);
        }
#pragma unroll
        for (int i = 0; i < 4; ++i) add(id[i], value[i]);
    }
    for (; k < end; ++k) add(sorted[k], A(g[order[k] * columns + column]));
    write();
}

// What chunks have left of the entries that they share, and zeros for entries without rows.
template <REAL T>
BLOCKS(entries * (columns + 127 >> 7), 128)
void embedding_join(const T* partial OF(chunks * 2 * columns), const Index* start OF(entries + 1),
                    T* dtable OF(entries * columns), Index columns, Index entries, Index chunks) {
    const uint32_t across = (uint32_t)(columns + 127) / 128, e = blockIdx.x / across;
    const Index column = (Index)(blockIdx.x % across) * 128 + threadIdx.x;
    const Index begin = start[e], end = start[e + 1];
    const Index first = begin / kChunk, last = (end - 1) / kChunk;
    if (column >= columns || (begin < end && first == last)) return;
    T sum = 0;
    if (begin < end) {
        sum = partial[(first * 2 + 1) * columns + column];
#pragma unroll 4
        for (Index c = first + 1; c <= last; ++c) sum += partial[c * 2 * columns + column];
    }
    dtable[e * columns + column] = sum;
}

// sorted and order, by counting for each row those that come before it: without the host, which a sort
// asks how much memory it wants, and for some thousand rows in less time.
BLOCKS(rows + 127 >> 7, 128)
void embedding_ranks(const Index* ids OF(rows), Index* sorted OF(rows), Index* order OF(rows),
                     Index rows) {
    const Index r = (Index)blockIdx.x * 128 + threadIdx.x;
    if (r >= rows) return;
    const Index id = ids[r];
    Index rank = 0;
    for (Index other = 0; other < r; ++other) rank += ids[other] <= id;
    for (Index other = r + 1; other < rows; ++other) rank += ids[other] < id;
    sorted[rank] = id, order[rank] = r;
}

// start[e] = how many of the sorted ids are less than e
BLOCKS(entries + 128 >> 7, 128)
void embedding_starts(const Index* sorted OF(rows), Index* start OF(entries + 1), Index rows,
                      Index entries) {
    const Index e = (Index)blockIdx.x * 128 + threadIdx.x;
    if (e > entries) return;
    Index low = 0, high = rows;
    while (low < high) {
        const Index middle = (low + high) / 2;
        if (sorted[middle] < e)
            low = middle + 1;
        else
            high = middle;
    }
    start[e] = low;
}
#endif

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
