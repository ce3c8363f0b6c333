#include "stream.h"

namespace tl {

void run_blocks(Index n, Target output, MakeBlock make, void* context) {
    char* data = (char*)output.data;
    const bool large = is_large(data, n * output.size);
    auto range = [=](Index begin, Index end) {
        if (!large) return make(context, begin, end - begin, data + begin * output.size);
        alignas(kCacheLine) char block[kBlock * sizeof(double)];
        for (Index first = begin; first < end; first += kBlock) {
            const Index count = first + kBlock < end ? kBlock : end - first;
            make(context, first, count, block);
            write_past(data + first * output.size, block, count * output.size);
        }
        all_written();
    };
    const Index blocks = (n + kBlock - 1) / kBlock;  // so that every range begins at a whole vector
    parallel_range(blocks, kGrain / kBlock, [=](Index first, Index last) {
        range(first * kBlock, last < blocks ? last * kBlock : n);
    });
}

}  // namespace tl
