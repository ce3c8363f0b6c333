// Which leaves have all of their gradient, and which buckets of leaves with them: what
// `tensorlite.distributed` sends while backward goes on.
#pragma once

#include <algorithm>

#include "host/memory.h"
#include "host/tape.h"

namespace tl {

// `arrivals` is of `Arrivals` in tensorlite/arrivals.py: the buckets of each leaf, how many leaves each
// bucket has, and what is called with the number of a bucket once it has all of them.
class Arrivals {
    struct Leaf {
        PyObject* leaf;
        PyObject* buckets;
        long uses;  // gradients that are still to come
        bool operator<(const Leaf& other) const { return leaf < other.leaf; }
    };

    const Tape& tape_ = tape();
    PyObject* filled_ = nullptr;
    List<Leaf> leaves_;  // by their addresses
    List<long> missing_;

  public:
    static bool fits(PyObject* arrivals) {
        return arrivals == Py_None ||
               (PyTuple_Check(arrivals) && PyTuple_GET_SIZE(arrivals) == 3 && PyDict_Check(item(arrivals, 0)) &&
                PyTuple_Check(item(arrivals, 1)));
    }

    // Counts how often each leaf is used below `root`. A leaf with hooks gets its gradient later.
    bool begin(PyObject* arrivals, PyObject* root) {
        if (arrivals == Py_None) return true;
        filled_ = item(arrivals, 2);
        PyObject *leaf, *buckets;
        for (Py_ssize_t at = 0; PyDict_Next(item(arrivals, 0), &at, &leaf, &buckets);) {
            const Ref hooks = TL_GET(leaf, hooks);
            if (!hooks) return false;
            if (hooks.is_none()) leaves_.push_back({leaf, buckets, 0});
        }
        std::sort(leaves_.begin(), leaves_.end());
        PyObject* members = item(arrivals, 1);
        for (Py_ssize_t i = 0; i < length(members); ++i)
            missing_.push_back(PyLong_AsLong(item(members, i)));
        return count(root) && !PyErr_Occurred();
    }

    // One of a leaf's gradients is where it belongs.
    bool arrived(PyObject* parent) {
        Leaf* leaf = filled_ ? find(parent) : nullptr;
        if (!leaf || leaf->uses == 0 || --leaf->uses) return true;
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(leaf->buckets); ++i) {
            PyObject* number = item(leaf->buckets, i);
            const size_t bucket = PyLong_AsSize_t(number);
            if (bucket < missing_.size() && --missing_[bucket] == 0 && !call(filled_, number))
                return false;
        }
        return !PyErr_Occurred();
    }

  private:
    Leaf* find(PyObject* parent) {
        const auto at = std::lower_bound(leaves_.begin(), leaves_.end(), Leaf{parent, nullptr, 0});
        return at != leaves_.end() && at->leaf == parent ? &*at : nullptr;
    }

    // Goes through the graph once, the newest node first, so that the same ones are neighbours.
    bool count(PyObject* root) {
        List<std::pair<long long, PyObject*>> heap;
        const auto put = [&](PyObject* node) {
            heap.emplace_back(PyLong_AsLongLong(tape_.index(node)), node);
            std::push_heap(heap.begin(), heap.end());
        };
        put(root);
        PyObject* last = nullptr;
        while (!heap.empty()) {
            std::pop_heap(heap.begin(), heap.end());
            PyObject* node = std::exchange(last, heap.back().second);
            heap.pop_back();
            if (node == last) continue;
            PyObject* parents = tape_.parents(last);
            for (Py_ssize_t i = 0; i < length(parents); ++i) {
                PyObject* parent = item(parents, i);
                if (parent == Py_None) continue;
                if (Leaf* leaf = find(parent))
                    ++leaf->uses;
                else if (tape_.is_node(parent))
                    put(parent);
            }
        }
        return !PyErr_Occurred();
    }
};

}  // namespace tl
