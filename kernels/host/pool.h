// The one thread pool of the process: every kernel and every matrix product on the CPU runs on it.
#pragma once

#include <cstdint>
#include <type_traits>

namespace tl {

using Index = int64_t;

int num_threads();
void set_num_threads(int count);

// Runs task(context, i) for every i in [0, count), each exactly once, and returns when all are done.
// The calling thread takes tasks like any worker, so a worker that wakes late delays nobody. Called
// from inside a task, or while another thread uses the pool, it runs the tasks itself, in order.
void run_tasks(Index count, void (*task)(void* context, Index i), void* context);

// f(i) for every i in [0, count).
template <typename F>
inline void parallel(Index count, F&& f) {
    auto call = [](void* context, Index i) { (*static_cast<std::remove_reference_t<F>*>(context))(i); };
    run_tasks(count, call, (void*)&f);
}

// f(begin, end) over a partition of [0, count) into pieces of at least `grain`. How it is cut depends
// on the number of threads: for results that must not, use `parallel` with a count of your own.
template <typename F>
inline void parallel_range(Index count, Index grain, F&& f) {
    const Index threads = num_threads();
    const Index even = (count + 4 * threads - 1) / (4 * threads);  // a few each evens out the finish
    const Index piece = even > grain ? even : grain;
    if (threads == 1 || count <= piece) {
        if (count > 0) f(Index(0), count);
        return;
    }
    parallel((count + piece - 1) / piece, [&](Index i) {
        const Index begin = i * piece, end = begin + piece;
        f(begin, end < count ? end : count);
    });
}

}  // namespace tl
