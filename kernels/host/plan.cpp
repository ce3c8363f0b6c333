// The memory plan of a recording (log_plan): calls whose results nobody reads are left out; what is
// computed only to be copied is computed where the copy would be; what is cheap to compute may be
// computed twice rather than kept; and temporaries that are not needed at the same time share one
// room, in which kernels find their large scratch memory, too.
#define NO_IMPORT_ARRAY  // module.h does it

#include <algorithm>
#include <map>
#include <vector>

#include "objects.h"
#include "record.h"

namespace tl {
namespace {

constexpr size_t kLine = 64;
constexpr double kKeptAtMost = 0.75;  // of the room, where results may be computed again
constexpr size_t kWorthRepeating = 1 << 16;  // bytes
constexpr int kMostRepeats = 256;

size_t whole_lines(size_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }

// A call that uses a block.
struct Use {
    size_t entry;
    bool written;
};

// A block of temporaries: `size` bytes of it are used.
struct Block {
    char* start;
    size_t capacity, size = 0;
    std::vector<Use> uses{};        // in order
    char* elsewhere = nullptr;      // where its contents belong, if that is outside of the room
    std::vector<size_t> pieces{};
};

// Memory that is needed from call `first` to call `last`. Those of one group share a place.
struct Piece {
    size_t first, last, size, group, offset = 0;
};

class Plan {
    Log& log_;
    std::vector<Block> blocks_;
    std::map<char*, size_t> by_address_;
    std::vector<size_t> nodes_;  // how many calls come before each call of Python
    std::vector<Piece> pieces_;

  public:
    size_t before = 0, after = 0, dead = 0;

    Plan(Log& log, std::vector<void*> movable, std::vector<size_t> nodes)
        : log_(log), nodes_(std::move(nodes)) {
        std::sort(nodes_.begin(), nodes_.end());
        for (void* block : movable) {
            by_address_[(char*)block] = blocks_.size();
            blocks_.push_back({(char*)block, block_allocator().capacity(block)});
        }
    }

    void make() {
        bury();
        find_uses();
        for (const Block& each : blocks_) before += each.uses.empty() ? 0 : whole_lines(each.size);
        put_where_they_belong();
        for (Block& each : blocks_) {
            if (each.uses.empty() || each.elsewhere) continue;
            each.pieces.push_back(pieces_.size());
            pieces_.push_back({each.uses.front().entry, each.uses.back().entry, whole_lines(each.size),
                               pieces_.size()});
        }
        compute_again();
        overwrite_inputs();
        after = place();
    }

    // Where memory that a call uses lies in the room.
    void* moved(void* data, size_t entry, char* room) const {
        const Block* block = data ? of(data) : nullptr;
        if (!block) return data;
        const size_t offset = (char*)data - block->start;
        if (block->elsewhere) return block->elsewhere + offset;
        for (size_t piece : block->pieces)
            if (pieces_[piece].first <= entry && entry <= pieces_[piece].last)
                return room + pieces_[pieces_[piece].group].offset + offset;
        return data;  // nobody uses it
    }

  private:
    const Block* of(const void* data) const {
        auto after = by_address_.upper_bound((char*)data);
        if (after == by_address_.begin()) return nullptr;
        const Block& found = blocks_[std::prev(after)->second];
        return (const char*)data < found.start + found.capacity ? &found : nullptr;
    }
    Block* of(const void* data) { return const_cast<Block*>(std::as_const(*this).of(data)); }

    bool is_alive(size_t entry) const { return !log_.entries[entry].dead; }

    // Marks the calls that write nothing but temporaries which no later call reads.
    void bury() {
        std::map<const Block*, bool> wanted;
        for (size_t i = log_.entries.size(); i-- > 0;) {
            Log::Entry& entry = log_.entries[i];
            if (entry.dead) continue;
            bool alive = false;
            for (const Operand& each : entry.operands) {
                if (!each.written || !each.data) continue;
                const Block* block = of(each.data);
                alive = alive || !block || wanted[block];
            }
            entry.dead = !alive;
            dead += entry.dead;
            for (const Operand& each : entry.operands)
                if (const Block* block = alive && each.data ? of(each.data) : nullptr) wanted[block] = true;
        }
    }

    void find_uses() {
        for (size_t i = 0; i < log_.entries.size(); ++i) {
            if (!is_alive(i)) continue;
            for (const Operand& each : log_.entries[i].operands) {
                Block* block = each.data ? of(each.data) : nullptr;
                if (!block) continue;
                block->uses.push_back({i, each.written});
                block->size = std::max(block->size, size_t((char*)each.data + each.high - block->start));
            }
        }
    }

    bool has_node(size_t first, size_t last) const {
        const auto next = std::upper_bound(nodes_.begin(), nodes_.end(), first);
        return next != nodes_.end() && *next <= last;
    }

    // Whether a call from `first` to before `last` uses these bytes, or, if that is meant, writes them.
    bool uses(size_t first, size_t last, const char* low, const char* high, bool only_writes) const {
        for (size_t i = first; i < last; ++i) {
            if (!is_alive(i)) continue;
            for (const Operand& each : log_.entries[i].operands)
                if (each.data && (each.written || !only_writes) && (char*)each.data + each.low < high &&
                    low < (char*)each.data + each.high)
                    return true;
        }
        return false;
    }

    // --- copies --------------------------------------------------------------------------------

    // A block that is copied as a whole, and not used after that, lies where the copy would be.
    void put_where_they_belong() {
        for (size_t i = 0; i < log_.entries.size(); ++i) {
            Log::Entry& entry = log_.entries[i];
            if (entry.dead || !(entry.traits & kWholeCopy)) continue;
            const Operand to = entry.operands[0], from = entry.operands[1];
            Block* block = of(from.data);
            if (!block || block->elsewhere || block->uses.back().entry != i) continue;
            Block* target = of(to.data);
            if (!target) {
                put_outside(*block, (char*)to.data - ((char*)from.data - block->start));
            } else if (from.data == block->start && block->size == size_t(from.high) &&
                       is_ready(*target, *block, (char*)to.data, i)) {
                become(*block, *target, (char*)to.data, i);
                drop(i);
            }
        }
    }

    void drop(size_t entry) {
        log_.entries[entry].dead = true;
        ++dead;
    }

    // In memory from before the call, to which all of it is copied in the end, perhaps in parts, if
    // nobody looks there from the first use on.
    void put_outside(Block& block, char* place) {
        std::vector<size_t> copies;
        size_t copied = 0;
        for (auto use = block.uses.rbegin(); use != block.uses.rend() && copied < block.size; ++use) {
            const Log::Entry& entry = log_.entries[use->entry];
            if (!(entry.traits & kWholeCopy) || of(entry.operands[0].data) ||
                (char*)entry.operands[0].data - place != (char*)entry.operands[1].data - block.start)
                return;
            copies.push_back(use->entry);
            copied += entry.operands[0].high;
        }
        const size_t first = block.uses.front().entry, last = block.uses.back().entry;
        if (copied != block.size || has_node(first, last)) return;
        for (const size_t copy : copies) log_.entries[copy].dead = true;
        const bool used = uses(first, last + 1, place, place + block.size, false);
        for (const size_t copy : copies) log_.entries[copy].dead = !used;
        if (used) return;
        block.elsewhere = place;
        dead += copies.size();
    }

    // Whether a temporary may hold from the first use of `block` on, at `low`, what call `copy` would
    // put there: if no call looks there until then. One that fills it with zeros is made in time.
    bool is_ready(Block& target, const Block& block, char* low, size_t copy) {
        const size_t first = block.uses.front().entry, begin = target.uses.front().entry;
        if (&target == &block || target.elsewhere || (begin >= first && 2 * block.size < target.size)) return false;
        Log::Entry& zero = log_.entries[begin];
        const bool late = begin > first && begin < copy && zero.traits & kZeroes;
        zero.dead = late;  // for the moment it is not looked at
        const bool used = uses(first, copy, low, low + block.size, false);
        zero.dead = late && !used;
        if (!late || used) return !used;
        Log::Entry early = zero;
        early.dead = false;
        early.again.clear();
        auto& again = log_.entries[first].again;
        again.insert(again.begin(), std::move(early));
        target.uses.front().entry = first;
        return true;
    }

    // From now on what lies in one block lies in another, from `at` on; call `copy` is not made.
    void become(Block& gone, Block& stays, char* at, size_t copy) {
        const auto move = [&](Log::Entry& entry) {
            for (size_t j = 0; j < entry.operands.size(); ++j) {
                Operand& each = entry.operands[j];
                if (!each.data || of(each.data) != &gone) continue;
                each.data = at + ((char*)each.data - gone.start);
                entry.arrays[j] = each.data;
            }
        };
        for (Log::Entry& entry : log_.entries) {
            move(entry);
            std::for_each(entry.again.begin(), entry.again.end(), move);
        }
        std::vector<Use>& all = stays.uses;
        all.insert(all.end(), gone.uses.begin(), gone.uses.end());
        all.erase(std::remove_if(all.begin(), all.end(), [=](Use use) { return use.entry == copy; }), all.end());
        std::stable_sort(all.begin(), all.end(), [](Use a, Use b) { return a.entry < b.entry; });
        gone.uses.clear();
    }

    // --- results that are computed again -----------------------------------------------------------

    std::vector<size_t> loads() const {
        std::vector<size_t> found(log_.entries.size());
        std::vector<ptrdiff_t> change(log_.entries.size() + 1);
        for (const Piece& each : pieces_)
            change[each.first] += each.size, change[each.last + 1] -= each.size;
        ptrdiff_t now = 0;
        for (size_t i = 0; i < found.size(); ++i) {
            now += change[i];
            found[i] = now + (is_alive(i) ? whole_lines(log_.entries[i].scratch) : 0);
        }
        return found;
    }

    // Where the most is kept, drops what can be had again from what is kept anyway.
    void compute_again() {
        size_t goal = 0;
        for (int repeats = 0; repeats < kMostRepeats; ++repeats) {
            const std::vector<size_t> load = loads();
            if (load.empty()) return;
            const size_t peak = std::max_element(load.begin(), load.end()) - load.begin();
            if (!repeats) goal = size_t(double(load[peak]) * kKeptAtMost);
            if (load[peak] <= goal || !drop_something(peak)) return;
        }
    }

    bool drop_something(size_t peak) {
        Block* best = nullptr;
        size_t until = 0;
        for (Block& block : blocks_) {
            const size_t next = block.size >= kWorthRepeating ? next_use(block, peak) : 0;
            if (next && (!best || block.size > best->size) && can_repeat(block, next))
                best = &block, until = next;
        }
        if (!best) return false;
        Log::Entry again = log_.entries[best->uses.front().entry];
        again.again.clear();
        log_.entries[until].again.push_back(std::move(again));
        for (size_t piece : best->pieces) {
            if (pieces_[piece].first > peak || pieces_[piece].last < peak) continue;
            size_t last = pieces_[piece].first;
            for (const Use& use : best->uses)
                if (use.entry < peak) last = std::max(last, use.entry);
            Piece late = pieces_[piece];
            late.first = until, late.group = pieces_.size();
            pieces_[piece].last = last;
            best->pieces.push_back(pieces_.size());
            pieces_.push_back(late);
            return true;
        }
        return false;
    }

    // The first use after call `peak` of a block that is only kept then; 0 if there is none.
    size_t next_use(const Block& block, size_t peak) const {
        for (size_t piece : block.pieces) {
            if (pieces_[piece].first >= peak || pieces_[piece].last <= peak) continue;
            for (const Use& use : block.uses) {
                if (use.entry == peak) return 0;
                if (use.entry > peak) return use.entry;
            }
        }
        return 0;
    }

    bool is_kept(const Block& block, size_t entry) const {
        for (size_t piece : block.pieces)
            if (pieces_[piece].first <= entry && entry <= pieces_[piece].last) return true;
        return block.elsewhere != nullptr;
    }

    // Whether the call that wrote a block gives the same before call `next`.
    bool can_repeat(const Block& block, size_t next) const {
        const size_t writer = block.uses.front().entry;
        const Log::Entry& entry = log_.entries[writer];
        if (!(entry.traits & kCheap)) return false;
        for (size_t i = 1; i < block.uses.size(); ++i)
            if (block.uses[i].written) return false;
        for (const Operand& each : entry.operands) {
            if (!each.data) continue;
            const Block* other = of(each.data);
            if (other == &block) {
                if (!each.written) return false;
                continue;
            }
            // What it reads, and what else it writes, must be there, and nobody else have written to it.
            if (!other && (each.written || has_node(writer, next))) return false;
            if (other && !is_kept(*other, next)) return false;
            const char *low = (char*)each.data + each.low, *high = (char*)each.data + each.high;
            if (uses(writer + 1, next, low, high, true)) return false;
        }
        return true;
    }

    // --- outputs in place of inputs ------------------------------------------------------------------

    void overwrite_inputs() {
        for (size_t i = 0; i < log_.entries.size(); ++i)
            if (is_alive(i) && log_.entries[i].traits & kOverwrites) overwrite_input(i);
    }

    // Puts the output of a call where an input was that nobody needs afterwards.
    void overwrite_input(size_t i) {
        const std::vector<Operand>& operands = log_.entries[i].operands;
        const auto out = std::find_if(operands.begin(), operands.end(), [](const Operand& x) { return x.written; });
        Piece* made = out == operands.end() ? nullptr : piece_of(*out, i);
        if (!made || made->first != i) return;
        for (const Operand& in : operands) {
            Piece* given = in.written ? nullptr : piece_of(in, i);
            if (!given || given == made || given->last != i || in.high != out->high) continue;
            const bool alone = std::all_of(operands.begin(), operands.end(), [&](const Operand& x) {
                return x.written || x.data == in.data || of(x.data) != of(in.data);
            });
            if (!alone) continue;
            made->group = given->group;
            return;
        }
    }

    // Where an operand lies that is the whole of a temporary.
    Piece* piece_of(const Operand& operand, size_t i) {
        Block* block = operand.data ? of(operand.data) : nullptr;
        if (!block || operand.data != block->start || operand.low || size_t(operand.high) != block->size) return nullptr;
        for (size_t piece : block->pieces)
            if (pieces_[piece].first <= i && i <= pieces_[piece].last) return &pieces_[piece];
        return nullptr;
    }

    // --- places ---------------------------------------------------------------------------------------

    // Gives every group a place in one room, those that are never used at the same time perhaps the
    // same. Returns the size of the room.
    size_t place() {
        std::vector<Piece> wanted = pieces_;
        for (size_t i = 0; i < pieces_.size(); ++i) {
            Piece& whole = wanted[pieces_[i].group];
            whole.first = std::min(whole.first, pieces_[i].first);
            whole.last = std::max(whole.last, pieces_[i].last);
        }
        std::vector<size_t> order;
        for (size_t i = 0; i < pieces_.size(); ++i)
            if (pieces_[i].group == i) order.push_back(i);
        std::vector<size_t> borrower;  // the calls that need scratch memory
        for (size_t i = 0; i < log_.entries.size(); ++i) {
            if (!is_alive(i) || !log_.entries[i].scratch) continue;
            order.push_back(wanted.size());
            borrower.push_back(i);
            wanted.push_back({i, i, whole_lines(log_.entries[i].scratch), wanted.size()});
        }
        const auto larger = [&](size_t a, size_t b) { return wanted[a].size > wanted[b].size; };
        const auto longer = [&](size_t a, size_t b) {
            return wanted[a].last - wanted[a].first > wanted[b].last - wanted[b].first;
        };
        const auto earlier = [&](size_t a, size_t b) { return wanted[a].first < wanted[b].first; };
        std::stable_sort(order.begin(), order.end(), larger);
        std::vector<Piece> best = wanted, tried = wanted;
        size_t room = fit(best, order);
        for (int way = 0; way < 2; ++way) {
            if (way) std::stable_sort(order.begin(), order.end(), earlier);
            else std::stable_sort(order.begin(), order.end(), longer);
            const size_t found = fit(tried, order);
            if (found < room) room = found, best = tried;
        }
        for (size_t i = 0; i < pieces_.size(); ++i) pieces_[i].offset = best[i].offset;
        for (size_t i = 0; i < borrower.size(); ++i)
            lent_.push_back({borrower[i], best[pieces_.size() + i].offset});
        return room;
    }

    // Each in turn as low as it fits.
    static size_t fit(std::vector<Piece>& wanted, const std::vector<size_t>& order) {
        size_t room = 0;
        std::vector<const Piece*> beside;
        for (size_t i = 0; i < order.size(); ++i) {
            Piece& each = wanted[order[i]];
            beside.clear();
            for (size_t j = 0; j < i; ++j) {
                const Piece& other = wanted[order[j]];
                if (other.first <= each.last && each.first <= other.last) beside.push_back(&other);
            }
            std::sort(beside.begin(), beside.end(),
                      [](const Piece* a, const Piece* b) { return a->offset < b->offset; });
            each.offset = 0;
            for (const Piece* other : beside)
                if (other->offset < each.offset + each.size)
                    each.offset = std::max(each.offset, other->offset + other->size);
            room = std::max(room, each.offset + each.size);
        }
        return room;
    }

  public:
    struct Lent {
        size_t entry, offset;
    };
    std::vector<Lent> lent_;
};

// Whole numbers from a list of Python's; false where an error is pending.
bool read_numbers(PyObject* list, std::vector<size_t>& numbers) {
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); ++i) {
        numbers.push_back(PyLong_AsSize_t(PyList_GET_ITEM(list, i)));
        if (PyErr_Occurred()) return false;
    }
    return true;
}

}  // namespace

// log_plan(log, movable, left_out, nodes): `movable` lists the blocks whose contents no call needs from
// before it wrote them, `left_out` the calls that are not made, `nodes` how many calls come before each
// call of Python. Returns the bytes of the temporaries, those of their room, and how many calls are dead.
PyObject* py_log_plan(PyObject*, PyObject* const* args, Py_ssize_t given) {
    if (given != 4 || !PyList_Check(args[1]) || !PyList_Check(args[2]) || !PyList_Check(args[3]))
        return PyErr_Format(PyExc_TypeError, "log_plan(log, movable, left_out, nodes) takes a log and lists");
    auto* log = (Log*)PyCapsule_GetPointer(args[0], kLogName);
    std::vector<size_t> listed, left_out, nodes, numbers;
    if (!log || !read_numbers(args[1], listed) || !read_numbers(args[2], left_out) || !read_numbers(args[3], nodes))
        return nullptr;
    std::vector<void*> movable;
    for (const size_t number : listed) {
        void* block = number < log->blocks.size() ? log->blocks[number] : nullptr;
        if (!block || !block_allocator().is_released(block)) continue;
        movable.push_back(block);
        numbers.push_back(number);
    }
    for (const size_t i : left_out)
        if (i < log->entries.size()) log->entries[i].dead = true;
    Plan plan(*log, std::move(movable), std::move(nodes));
    plan.make();
    auto* room = (char*)block_allocator().allocate(plan.after + 1, false);
    if (!room) return no_memory(plan.after + 1);
    for (size_t i = 0; i < log->entries.size(); ++i) {
        Log::Entry& entry = log->entries[i];
        for (void*& array : entry.arrays) array = plan.moved(array, i, room);
        for (Log::Entry& each : entry.again)
            for (void*& array : each.arrays) array = plan.moved(array, i, room);
    }
    for (const auto& each : plan.lent_) log->entries[each.entry].lent = room + each.offset;
    for (const size_t number : numbers) {
        if (log->borrows) break;
        block_allocator().let_go(log->blocks[number]);
        log->blocks[number] = nullptr;
    }
    log->room = room, log->room_size = plan.after;
    return Py_BuildValue("nnn", (Py_ssize_t)plan.before, (Py_ssize_t)plan.after, (Py_ssize_t)plan.dead);
}

static PyMethodDef table_of_plan[] = {
    TL_METHOD("log_plan", py_log_plan, "log_plan(log, movable, left_out, nodes)"),
    {nullptr, nullptr, 0, nullptr},
};
extern PyMethodDef* const plan_methods;
PyMethodDef* const plan_methods = table_of_plan;

}  // namespace tl
