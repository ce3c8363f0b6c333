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
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>

#include "memory.h"

namespace tl {
namespace {

constexpr int64_t kSpin = 200000;  // nanoseconds
constexpr size_t kFirstSteps = 1 << 20;
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

std::atomic<int> threads_wanted{0};  // 0: one a core
std::atomic<int> usable_cores{0};    // 0: not known yet

// More threads than cores would only take these from each other.
inline int threads_at_once() {
    const int threads = num_threads(), cores = usable_cores.load(std::memory_order_relaxed);
    return threads < cores ? threads : cores;
}

struct Pool {
    alignas(64) std::atomic<uint64_t> ticket{0};
    alignas(64) std::atomic<uint32_t> finished{0};
    alignas(64) std::atomic<uint32_t> count{0};
    std::atomic<void (*)(void *, Index)> task{nullptr};
    std::atomic<void *> context{nullptr};
    alignas(64) std::atomic<int> sleepers{0};
    std::atomic<bool> busy{false};
    std::atomic<bool> failed{false};
    std::atomic<size_t> missing{0};  // bytes that a task of this job lacked
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
    std::atomic<int> arrived{0};  // workers that run
    int workers = 0;              // started so far; guarded by `busy`
    int refused = 0;              // jobs since the system gave no thread

    // Runs a task, unless one failed before.
    void attempt(void (*run)(void *, Index), void *with, Index i) {
        if (failed.load(std::memory_order_relaxed)) return;
        try {
            run(with, i);
        } catch (const NoMemory &error) {
            missing.store(error.bytes, std::memory_order_relaxed);
            failed.store(true, std::memory_order_relaxed);
        } catch (const std::bad_alloc &) {
            failed.store(true, std::memory_order_relaxed);
        }
    }

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
                attempt(run, with, i);
                finished.fetch_add(1, std::memory_order_release);
                seen = ticket.load(std::memory_order_acquire);
            }
        }
    }

    void start_workers(int threads);
    void worker(int id);

    void run(uint32_t n, void (*f)(void *, Index), void *with, int threads) {
        if (workers < threads - 1) start_workers(threads);
        const uint64_t generation = ticket.load(std::memory_order_relaxed) >> 32;
        ticket.store(generation << 32 | kClosed, std::memory_order_relaxed);
        finished.store(0, std::memory_order_relaxed);
        failed.store(false, std::memory_order_relaxed);
        missing.store(0, std::memory_order_relaxed);
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

// Where the system gives no more threads, those that run do the work; it is asked again later. Signals
// are for Python's threads: one that a worker got would not end their waiting.
void Pool::start_workers(int threads) {
    if (refused && ++refused % 1024) return;
    refused = 0;
    auto body = [](void *self) -> void * {
        Pool &own = *static_cast<Pool *>(self);
        prepare_to_throw();
        own.worker(own.arrived.fetch_add(1) + 1);
        return nullptr;
    };
    // A thread's first steps need a little memory too, and where there is none glibc ends the process:
    // so there must be some now, and until they are made nothing else is taken from it.
    void *some = std::malloc(kFirstSteps);
    std::free(some);
    if (!some) refused = 1;
    if (refused) return;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (workers < threads - 1 && !refused) {
        pthread_t thread;
        if (pthread_create(&thread, nullptr, body, this) == 0) {
            pthread_detach(thread);
            ++workers;
        } else {
            refused = 1;
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    while (arrived.load(std::memory_order_acquire) < workers) sched_yield();
}

void Pool::worker(int id) {
    uint64_t seen = ticket.load(std::memory_order_acquire);
    while (true) {
        if (id < threads_at_once()) work();
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
    Pool *fresh = new (std::nothrow) Pool;
    if (!fresh) return nullptr;
    if (pool.compare_exchange_strong(current, fresh)) return fresh;
    delete fresh;
    return current;
}

}  // namespace

int num_threads() {
    const int count = threads_wanted.load(std::memory_order_relaxed);
    if (count) return count;
    const int cores = usable_cores.load(std::memory_order_relaxed);
    if (!cores) set_usable_cores((int)sysconf(_SC_NPROCESSORS_ONLN));
    return cores ? cores : num_threads();
}

static int within(int count, int least) {
    return count < least ? least : count > kMaxThreads ? kMaxThreads : count;
}

void set_num_threads(int count) { threads_wanted.store(within(count, 0)); }

void set_usable_cores(int count) { usable_cores.store(within(count, 1)); }

void run_tasks(Index count, void (*task)(void *context, Index i), void *context) {
    const int threads = threads_at_once();
    Pool *p = threads > 1 && count > 1 && count < (Index)UINT32_MAX ? the_pool() : nullptr;
    if (!p || p->busy.exchange(true, std::memory_order_acquire)) {
        for (Index i = 0; i < count; ++i) task(context, i);
        return;
    }
    p->run((uint32_t)count, task, context, threads);
    const bool failed = p->failed.load(std::memory_order_relaxed);
    const size_t missing = p->missing.load(std::memory_order_relaxed);
    p->busy.store(false, std::memory_order_release);
    if (failed) throw NoMemory(missing);
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
