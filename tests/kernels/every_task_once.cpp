// Jobs of few and of many tasks in turn, on more threads than there are cores: every task once.
#include <atomic>
#include <cstdio>
#include <cstdlib>

#include "host/pool.h"

int main(int, char** arguments) {
    constexpr int kMost = 64;
    static std::atomic<int> runs[kMost];
    tl::set_usable_cores(4);
    tl::set_num_threads(4);
    for (long job = std::atol(arguments[1]); job > 0; --job) {
        const tl::Index count = job % 2 ? kMost : 2;
        for (tl::Index i = 0; i < kMost; ++i) runs[i] = 0;
        tl::parallel(count, [=](tl::Index i) { ++runs[i]; });
        for (tl::Index i = 0; i < kMost; ++i)
            if (runs[i] != (i < count)) {
                std::printf("job %ld: task %d ran %d times\n", job, (int)i, (int)runs[i]);
                return 1;
            }
    }
    return 0;
}
