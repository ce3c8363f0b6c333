#include "stream.h"

namespace tl {

void run_blocks(Index n, Streams streams, MakeBlock make, void* context) {
    const Stream output = streams.output;
    const bool large = is_large(output.data, n * output.size);
    auto range = [=](Index begin, Index end) {
        if (!large) return make(context, begin, end - begin, output.at(begin));
        alignas(kCacheLine) char block[kBlock * sizeof(double)];
        for (Index first = begin; first < end; first += kBlock) {
            const Index count = first + kBlock < end ? kBlock : end - first;
            make(context, first, count, block);
            write_past(output.at(first), block, count * output.size,
                       streams.input.at(first) + kAhead, streams.input_too.at(first) + kAhead);
        }
        all_written();
    };
    const Index blocks = (n + kBlock - 1) / kBlock;  // so that every range begins at a whole vector
    parallel_range(blocks, kGrain / kBlock, [=](Index first, Index last) {
        range(first * kBlock, last < blocks ? last * kBlock : n);
    });
}

}  // namespace tl
