// Kept blocks: those of arrays and large ones in lists for all threads, small scratch memory with each
// thread.
#include "host/memory.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <utility>

#include "host/allocator.h"
#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace tl {
namespace {

constexpr int kTickSeconds = 5;
constexpr uint32_t kOld = 4;  // ticks after which a block goes back to the system
constexpr size_t kWorthWatching = 8 << 20;  // bytes
constexpr size_t kPage = 4096;
constexpr size_t kEnds = 64 << 10;  // bytes at either end of a spent block that stay as they are
constexpr size_t kLarge = 512 << 10;  // from here on scratch memory is not kept by its thread

// Gives the pages in the middle of a block back to the system: they read as zeros from then on.
void drop_pages(char* data, size_t bytes) {
    if (bytes <= 2 * kEnds + kPage) return;
    const uintptr_t low = ((uintptr_t)data + kEnds + kPage - 1) / kPage * kPage;
    const uintptr_t high = ((uintptr_t)data + bytes - kEnds) / kPage * kPage;
    (void)madvise((void*)low, high - low, MADV_DONTNEED);  // a hint
}

}  // namespace

BlockAllocator::BlockAllocator() {
    const size_t memory = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGE_SIZE);
    limit_ = memory / 16 < (size_t)1 << 30 ? memory / 16 : (size_t)1 << 30;
}

// The class of a size, and its capacity: 2^k (1, 1¼, 1½ or 1¾) of the smallest.
int BlockAllocator::class_of(size_t size, size_t* capacity) {
    for (int c = 0; c < kClasses; ++c) {
        *capacity = (kSmallest / 4 * (4 + c % 4)) << c / 4;
        if (*capacity >= size) return c;
    }
    *capacity = size;
    return -1;
}

// Nobody waits long: who finds the lists in use, by another thread or by one that has lost its core,
// goes to malloc instead.
bool BlockAllocator::try_lock() {
    for (int spins = 0; spins < 64; ++spins)
        if (!busy_.load(std::memory_order_relaxed) && !busy_.exchange(true, std::memory_order_acquire))
            return true;
    return false;
}

BlockAllocator::Header* BlockAllocator::take(int size_class) {
    Header* found = nullptr;
    if (try_lock()) {
        found = free_[size_class];
        if (found) free_[size_class] = found->next, kept_ -= found->capacity;
        unlock();
    }
    return found;
}

bool BlockAllocator::keep(Header* block) {
    bool kept = false, much = false;
    if (try_lock()) {
        kept = kept_ + block->capacity <= limit_;
        if (kept) {
            block->next = free_[block->size_class];
            block->tick = tick_;
            free_[block->size_class] = block;
            kept_ += block->capacity;
            much = kept_ > kWorthWatching;
        }
        unlock();
    }
    if (much && !watched_.load(std::memory_order_relaxed)) watch();
    return kept;
}

// Takes what was freed at least so many ticks ago out of the lists, under their lock.
BlockAllocator::Header* BlockAllocator::take_old(uint32_t ticks) {
    Header* taken = nullptr;
    for (Header*& list : free_) {
        Header** at = &list;
        while (*at && tick_ - (*at)->tick < ticks) at = &(*at)->next;
        while (Header* block = *at) {
            *at = block->next;
            kept_ -= block->capacity;
            block->next = taken;
            taken = block;
        }
    }
    return taken;
}

size_t BlockAllocator::free_all(Header* list) {
    size_t bytes = 0;
    while (Header* block = list) {
        list = block->next;
        bytes += block->capacity;
        std::free(block->raw);
    }
#if defined(__GLIBC__)
    if (bytes) malloc_trim(0);  // what was freed may lie between what was not
#endif
    return bytes;
}

// A thread that counts the ticks for as long as there is much to give back.
void BlockAllocator::watch() {
    if (watched_.exchange(true)) return;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are for Python's threads
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 256 << 10);
    pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
    const auto body = [](void* self) -> void* {
        static_cast<BlockAllocator*>(self)->keep_watch();
        return nullptr;
    };
    pthread_t thread;
    (void)pthread_create(&thread, &small, body, this);  // without it, blocks stay until `empty`
    pthread_attr_destroy(&small);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void BlockAllocator::keep_watch() {
    for (bool much = true; much;) {
        const timespec tick = {kTickSeconds, 0};
        nanosleep(&tick, nullptr);
        if (!try_lock()) continue;
        ++tick_;
        Header* old = take_old(kOld);
        much = kept_ > kWorthWatching;
        if (!much) watched_.store(false);
        unlock();
        free_all(old);
    }
}

size_t BlockAllocator::empty() {
    if (!try_lock()) return 0;
    Header* all = take_old(0);
    unlock();
    const size_t bytes = free_all(all);
#if defined(__GLIBC__)
    if (!bytes) malloc_trim(0);  // what others freed
#endif
    return bytes;
}

void BlockAllocator::forget_threads() {
    if (busy_.load()) {
        for (Header*& list : free_) list = nullptr;
        kept_ = 0;
        unlock();
    }
    watched_.store(false);
}

BlockAllocator::Header* BlockAllocator::fresh(size_t capacity, int size_class, bool zero) {
    const size_t total = capacity + 2 * kAlignment;
    void* raw = total < capacity ? nullptr : zero ? std::calloc(1, total) : std::malloc(total);
    if (!raw) return nullptr;
    const uintptr_t data = ((uintptr_t)raw + 2 * kAlignment - 1) & ~(uintptr_t)(kAlignment - 1);
#if defined(MADV_HUGEPAGE)
    if (capacity >= kHuge) {  // as NumPy does
        const uintptr_t page = (data + 4095) & ~(uintptr_t)4095;
        madvise((void*)page, (data + capacity - page) & ~(uintptr_t)4095, MADV_HUGEPAGE);
    }
#endif
    Header* header = header_of((void*)data);
    *header = {raw, capacity, size_class, false, false, false, 0, nullptr};
    return header;
}

void* BlockAllocator::allocate(size_t size, bool zero) {
    size_t capacity = size;
    const int size_class = size >= kSmallest ? class_of(size, &capacity) : -1;
    Header* block = size_class >= 0 ? take(size_class) : nullptr;
    if (block && zero) std::memset((char*)block + kAlignment, 0, size);
    if (!block) block = fresh(capacity, size_class, zero);
    if (!block && empty_cache()) block = fresh(capacity, size_class, zero);
    return block ? (char*)block + kAlignment : nullptr;
}

void BlockAllocator::release(void* data) {
    if (!data) return;
    Header* block = header_of(data);
    if (block->held) {
        block->released = true;
        if (block->spent) drop_pages((char*)data, block->capacity);
        return;
    }
    if (block->size_class < 0 || !keep(block)) std::free(block->raw);
}

void BlockAllocator::let_go(void* data) {
    Header* block = header_of(data);
    const bool released = block->released;
    block->held = block->released = block->spent = false;
    if (released) release(data);
}

void BlockAllocator::spend(void* data) {
    Header* block = header_of(data);
    block->spent = true;
    if (block->released) drop_pages((char*)data, block->capacity);
}

void* BlockAllocator::resize(void* data, size_t size) {
    if (data && size <= header_of(data)->capacity) return data;
    void* moved = allocate(size, false);
    if (moved && data) {
        std::memcpy(moved, data, header_of(data)->capacity);
        release(data);
    }
    return moved;
}

// Never destroyed: arrays outlive everything else.
BlockAllocator& block_allocator() {
    static BlockAllocator& allocator = *[] {
        auto* made = new BlockAllocator;
        pthread_atfork(nullptr, nullptr, [] { block_allocator().forget_threads(); });
        return made;
    }();
    return allocator;
}

namespace {

std::atomic<unsigned> emptied{0};  // how often the caches were

// The small blocks of a thread.
class BlockCache {
    static constexpr int kBlocks = 16;
    struct Block {
        void* memory = nullptr;
        size_t bytes = 0;
    };
    Block blocks_[kBlocks];
    unsigned emptied_ = 0;

  public:
    // Null where there is no memory for it. A `thread_local` would end the process there.
    static BlockCache* of_this_thread() {
        static const pthread_key_t key = [] {
            pthread_key_t made;
            pthread_key_create(&made, [](void* own) { delete static_cast<BlockCache*>(own); });
            return made;
        }();
        if (void* own = pthread_getspecific(key)) return static_cast<BlockCache*>(own);
        auto* fresh = new (std::nothrow) BlockCache;
        if (fresh && pthread_setspecific(key, fresh)) delete std::exchange(fresh, nullptr);
        if (fresh) prepare_to_throw();
        return fresh;
    }

    ~BlockCache() { empty(); }

    void empty() {
        for (Block& block : blocks_) {
            std::free(block.memory);
            block = Block();
        }
    }

    // The smallest block that fits; null if there is none.
    void* take(size_t& bytes) {
        if (const unsigned now = emptied.load(std::memory_order_relaxed); now != emptied_) {
            empty();
            emptied_ = now;
        }
        Block* best = nullptr;
        for (Block& block : blocks_)
            if (block.bytes >= bytes && (!best || block.bytes < best->bytes)) best = &block;
        if (!best) return nullptr;
        void* memory = best->memory;
        bytes = best->bytes;
        *best = Block();
        return memory;
    }

    // Keeps the larger blocks: a small one is cheap to get again.
    void give_back(void* memory, size_t bytes) {
        Block* smallest = &blocks_[0];
        for (Block& block : blocks_)
            if (block.bytes < smallest->bytes) smallest = &block;
        if (smallest->bytes < bytes) {
            std::free(smallest->memory);
            *smallest = {memory, bytes};
        } else {
            std::free(memory);
        }
    }
};

}  // namespace

namespace {

// The large scratch memory of a thread: what it has, what it had at most, and what is lent to it.
struct LargeScratch {
    size_t now = 0, most = 0;
    char* lent = nullptr;
    size_t lent_bytes = 0, lent_used = 0;
};

LargeScratch& large_scratch() {
#if defined(__linux__)  // as of `open_log`
    __attribute__((tls_model("initial-exec")))
#endif
    static thread_local LargeScratch own;
    return own;
}

size_t whole_lines(size_t bytes) { return (bytes + 63) / 64 * 64; }

}  // namespace

Lending::Lending(char* memory, size_t bytes)
    : before_(large_scratch().lent), bytes_before_(large_scratch().lent_bytes) {
    LargeScratch& own = large_scratch();
    own.lent = memory, own.lent_bytes = memory ? bytes : 0, own.lent_used = 0;
}

Lending::~Lending() {
    LargeScratch& own = large_scratch();
    own.lent = before_, own.lent_bytes = bytes_before_, own.lent_used = bytes_before_;
}

size_t most_scratch() {
    LargeScratch& own = large_scratch();
    return std::exchange(own.most, own.now);
}

void* take_scratch(size_t& bytes) {
    if (bytes > kLarge - kPage) {
        bytes = bytes < kLarge ? kLarge : bytes;
        LargeScratch& own = large_scratch();
        own.now += whole_lines(bytes);
        if (own.most < own.now) own.most = own.now;
        if (own.lent_used + whole_lines(bytes) <= own.lent_bytes)
            return own.lent + std::exchange(own.lent_used, own.lent_used + whole_lines(bytes));
        if (void* memory = block_allocator().allocate(bytes, false)) return memory;
        own.now -= whole_lines(bytes);
        throw NoMemory(bytes);
    }
    BlockCache* cache = BlockCache::of_this_thread();
    if (void* memory = cache ? cache->take(bytes) : nullptr) return memory;
    bytes = (bytes + kPage - 1) / kPage * kPage;
    void* memory = std::aligned_alloc(64, bytes);
    if (memory) return memory;
    empty_cache();
    if ((memory = std::aligned_alloc(64, bytes))) return memory;
    throw NoMemory(bytes);
}

void give_back_scratch(void* memory, size_t bytes) {
    if (bytes >= kLarge) {
        LargeScratch& own = large_scratch();
        const size_t size = whole_lines(bytes);
        own.now -= own.now < size ? own.now : size;
        const size_t at = (size_t)((char*)memory - own.lent);
        if (!own.lent || at >= own.lent_bytes) return block_allocator().release(memory);
        if (at + size == own.lent_used) own.lent_used = at;
        return;
    }
    if (BlockCache* cache = BlockCache::of_this_thread())
        cache->give_back(memory, bytes);
    else
        std::free(memory);
}

size_t empty_cache() {
    emptied.fetch_add(1, std::memory_order_relaxed);
    if (BlockCache* cache = BlockCache::of_this_thread()) cache->empty();
    return block_allocator().empty();
}

}  // namespace tl
