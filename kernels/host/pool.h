// The one thread pool of the process: every kernel and every matrix product on the CPU runs on it.
#pragma once

#include <cstdint>
#include <type_traits>

#include "host/shared.h"

namespace tl {

using Index = int64_t;

constexpr Index kGrain = 16384;  // elements worth handing to another thread

constexpr int kMaxThreads = 256;

TL_SHARED int num_threads();
void set_num_threads(int count);

// How many cores this process may use: so many threads run at once, and are there if nobody has asked
// for another number.
void set_usable_cores(int count);

// Runs task(context, i) for every i in [0, count), each exactly once, and returns when all are done.
// The calling thread takes tasks like any worker, so a worker that wakes late delays nobody. Called
// from inside a task, or while another thread uses the pool, it runs the tasks itself, in order. Where
// a task throws NoMemory, others may be left out, and the caller gets it.
TL_SHARED void run_tasks(Index count, void (*task)(void* context, Index i), void* context);

// f(i) for every i in [0, count).
template <typename F>
inline void parallel(Index count, F&& f) {
    auto call = [](void* context, Index i) { (*static_cast<std::remove_reference_t<F>*>(context))(i); };
    run_tasks(count, call, (void*)&f);
}

// task(context, begin, end) over a partition of [0, count) into pieces of at least `grain`. How it is
// cut depends on the number of threads: for results that must not, use `parallel` with a count of
// your own.
TL_SHARED void run_range(Index count, Index grain,
                         void (*task)(void* context, Index begin, Index end), void* context);

// f(begin, end) over such a partition.
template <typename F>
inline void parallel_range(Index count, Index grain, F&& f) {
    auto call = [](void* context, Index begin, Index end) {
        (*static_cast<std::remove_reference_t<F>*>(context))(begin, end);
    };
    run_range(count, grain, call, (void*)&f);
}

}  // namespace tl
