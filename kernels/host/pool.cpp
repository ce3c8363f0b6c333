// Fork and join in about a microsecond: workers spin for a short while after each job, then sleep.
//
// A job is published by one 64-bit ticket, (generation << 32 | next task). Taking a task is a
// compare-and-swap on it, which can only succeed while that job still has tasks left; so a worker that
// read the fields of a job long gone loses the swap and looks again, and nobody waits for late workers.
// While the fields of the next job are written the ticket is closed: a worker that has seen the last
// job's, with all tasks taken, and then the next job's count, would take a task of neither.
#include "pool.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

namespace tl {
namespace {

constexpr int64_t kSpin = 200000;  // nanoseconds
constexpr int kMaxThreads = 256;
constexpr uint32_t kClosed = UINT32_MAX;  // a task that no job has

inline void relax() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

inline int64_t nanoseconds() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

struct Pool {
    alignas(64) std::atomic<uint64_t> ticket{0};
    alignas(64) std::atomic<uint32_t> finished{0};
    alignas(64) std::atomic<uint32_t> count{0};
    std::atomic<void (*)(void *, Index)> task{nullptr};
    std::atomic<void *> context{nullptr};
    alignas(64) std::atomic<int> sleepers{0};
    std::atomic<bool> busy{false};
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
    std::atomic<int> arrived{0};  // workers that run
    int workers = 0;              // started so far; guarded by `busy`

    // Takes and runs tasks of the current job until none is left.
    void work() {
        uint64_t seen = ticket.load(std::memory_order_acquire);
        while (true) {
            const uint32_t n = count.load(std::memory_order_acquire);
            auto *run = task.load(std::memory_order_relaxed);
            void *with = context.load(std::memory_order_relaxed);
            const uint32_t i = (uint32_t)seen;
            if (i >= n) {
                const uint64_t now = ticket.load(std::memory_order_acquire);
                if (now == seen) return;
                seen = now;
                continue;
            }
            if (ticket.compare_exchange_weak(seen, seen + 1, std::memory_order_acq_rel)) {
                run(with, i);
                finished.fetch_add(1, std::memory_order_release);
                seen = ticket.load(std::memory_order_acquire);
            }
        }
    }

    void start_worker();
    void worker(int id);

    void run(uint32_t n, void (*f)(void *, Index), void *with, int threads) {
        while (workers < threads - 1) start_worker();
        const uint64_t generation = ticket.load(std::memory_order_relaxed) >> 32;
        ticket.store(generation << 32 | kClosed, std::memory_order_relaxed);
        finished.store(0, std::memory_order_relaxed);
        task.store(f, std::memory_order_relaxed);
        context.store(with, std::memory_order_relaxed);
        count.store(n, std::memory_order_release);  // who reads it finds the ticket closed
        ticket.store((generation + 1) << 32, std::memory_order_seq_cst);
        if (sleepers.load(std::memory_order_seq_cst) > 0) {
            pthread_mutex_lock(&mutex);
            pthread_cond_broadcast(&wake);
            pthread_mutex_unlock(&mutex);
        }
        work();
        for (int spins = 0; finished.load(std::memory_order_acquire) < n; ++spins) {
            // A worker that holds the last task may have lost its core: let it have this one.
            if (spins < 4096) relax(); else sched_yield();
        }
    }
};

// Never destroyed: at exit the workers are asleep or spinning on it. After a fork the child starts a
// new one, because threads do not survive in the child.
std::atomic<Pool *> pool{nullptr};
std::atomic<int> threads_wanted{0};

// Where the system gives no more threads, those that run do the work.
void Pool::start_worker() {
    auto body = [](void *self) -> void * {
        Pool &own = *static_cast<Pool *>(self);
        own.worker(own.arrived.fetch_add(1) + 1);
        return nullptr;
    };
    pthread_t thread;
    if (pthread_create(&thread, nullptr, body, this) == 0) pthread_detach(thread);
    ++workers;
}

void Pool::worker(int id) {
    uint64_t seen = ticket.load(std::memory_order_acquire);
    while (true) {
        if (id < threads_wanted.load(std::memory_order_relaxed)) work();
        const int64_t deadline = nanoseconds() + kSpin;
        for (int spins = 1; ticket.load(std::memory_order_acquire) >> 32 == seen >> 32; ++spins) {
            relax();
            if (spins % 64 == 0 && nanoseconds() > deadline) {
                pthread_mutex_lock(&mutex);
                sleepers.fetch_add(1, std::memory_order_seq_cst);
                while (ticket.load() >> 32 == seen >> 32) pthread_cond_wait(&wake, &mutex);
                sleepers.fetch_sub(1, std::memory_order_seq_cst);
                pthread_mutex_unlock(&mutex);
            }
        }
        seen = ticket.load(std::memory_order_acquire);
    }
}

Pool *the_pool() {
    static const int registered = pthread_atfork(nullptr, nullptr, [] { pool.store(nullptr); });
    (void)registered;
    Pool *current = pool.load(std::memory_order_acquire);
    if (current) return current;
    Pool *fresh = new Pool;
    if (pool.compare_exchange_strong(current, fresh)) return fresh;
    delete fresh;
    return current;
}

}  // namespace

int num_threads() {
    int count = threads_wanted.load(std::memory_order_relaxed);
    if (count == 0) {
        count = (int)sysconf(_SC_NPROCESSORS_ONLN);
        count = count < 1 ? 1 : count > kMaxThreads ? kMaxThreads : count;
        threads_wanted.store(count, std::memory_order_relaxed);
    }
    return count;
}

void set_num_threads(int count) {
    threads_wanted.store(count < 1 ? 1 : count > kMaxThreads ? kMaxThreads : count);
}

void run_tasks(Index count, void (*task)(void *context, Index i), void *context) {
    const int threads = num_threads();
    Pool *p = threads > 1 && count > 1 && count < (Index)UINT32_MAX ? the_pool() : nullptr;
    if (!p || p->busy.exchange(true, std::memory_order_acquire)) {
        for (Index i = 0; i < count; ++i) task(context, i);
        return;
    }
    p->run((uint32_t)count, task, context, threads);
    p->busy.store(false, std::memory_order_release);
}

void run_range(Index count, Index grain, void (*task)(void* context, Index begin, Index end),
               void* context) {
    const Index threads = num_threads();
    const Index even = (count + 4 * threads - 1) / (4 * threads);  // a few each evens out the finish
    const Index piece = even > grain ? even : grain;
    if (threads == 1 || count <= piece) {
        if (count > 0) task(context, 0, count);
        return;
    }
    parallel((count + piece - 1) / piece, [=](Index i) {
        const Index begin = i * piece, end = begin + piece;
        task(context, begin, end < count ? end : count);
    });
}

}  // namespace tl
