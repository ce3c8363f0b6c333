// walk(node, g, accumulate, retain_graph, overwritten, helpers, arrivals): the walk of tensorlite/backward.py
// in its ordinary case, where it costs a small model as much as its arithmetic: every gradient is
// wanted, none is recorded, and all are on one device. `propagate` there says what happens in which
// order; what is out of the ordinary in one node or one gradient is left to its functions, `helpers`.
#pragma once

#include <algorithm>

#include "host/arrivals.h"
#include "host/cuda.h"
#include "host/tape.h"
#include "host/writes.h"

namespace tl {

class Walk {
    // Of tensorlite/backward.py, in this order.
    struct Helpers {
        PyObject *plus, *fitted, *run_hooks, *used_twice, *check_not_overwritten, *last_write, *written,
            *own_place, *rule_failed;
    };
    struct Entry {
        long long index;
        PyObject* node;  // which `cotangents_` keeps alive
        bool operator<(const Entry& other) const { return index < other.index; }
    };

    PyObject* const accumulate_;
    const bool retain_graph_;
    const long long overwritten_;
    const Tape& tape_ = tape();
    Helpers helpers_;
    Ref cotangents_{PyDict_New()};
    List<Entry> heap_;  // the newest first: what it feeds is done
    List<Ref> own_;     // of the parents of the node at hand that are leaves, see `own_place`
    Arrivals arrivals_;
    Writes writes_;

  public:
    Walk(PyObject* accumulate, bool retain_graph, long long overwritten, PyObject* helpers)
        : accumulate_(accumulate), retain_graph_(retain_graph), overwritten_(overwritten) {
        for (Py_ssize_t i = 0; i < kHelpers; ++i) ((PyObject**)&helpers_)[i] = item(helpers, i);
    }

    static constexpr Index kSmall = 1 << 14;  // bytes that are copied without Python's help
    static constexpr Py_ssize_t kHelpers = sizeof(Helpers) / sizeof(PyObject*);

    bool run(PyObject* root, PyObject* g, PyObject* arrivals) {
        bool fine = cotangents_ && arrivals_.begin(arrivals, root) && send(root, g);
        while (fine && !heap_.empty()) {
            std::pop_heap(heap_.begin(), heap_.end());
            const Entry newest = heap_.back();
            heap_.pop_back();
            const Ref node = Ref::to(newest.node);
            Ref arrived = Ref::to(PyDict_GetItemWithError(cotangents_, node));
            fine = arrived && PyDict_DelItem(cotangents_, node) == 0 &&
                   visit(newest.index, node, std::move(arrived));
        }
        return fine;
    }

  private:
    // Adds to the cotangent of a node, which is visited once all that it feeds has been.
    bool send(PyObject* node, PyObject* d) {
        PyObject* before = PyDict_GetItemWithError(cotangents_, node);
        if (before) {
            const Ref sum = call(helpers_.plus, before, d);
            return sum && PyDict_SetItem(cotangents_, node, sum) == 0;
        }
        return !PyErr_Occurred() && queue(node, d);
    }

    bool queue(PyObject* node, PyObject* d) {
        if (PyDict_SetItem(cotangents_, node, d) < 0) return false;
        heap_.push_back({PyLong_AsLongLong(tape_.index(node)), node});
        std::push_heap(heap_.begin(), heap_.end());
        return !PyErr_Occurred();
    }

    bool visit(long long index, PyObject* node, Ref g) {
        const Ref hooks = Ref::to(tape_.node_hooks(node)), parents = Ref::to(tape_.parents(node));
        if (!hooks.is_none() && !(g = call(helpers_.run_hooks, hooks, g, Py_False))) return false;
        if (tape_.is_output_node(node)) return collect(node, item(parents, 0), g);
        const Ref plan = Ref::to(tape_.plan(node)), saved = Ref::to(tape_.saved(node));
        if (saved.is_none()) return call(helpers_.used_twice, node), false;
        if (index < overwritten_ && !check_not_overwritten(index, node, saved)) return false;
        const auto [pull, keyword, keeps] = tape_.way(plan);
        if (!pull || !keyword || !keeps) return false;
        if (!retain_graph_ && (PyObject*)keeps == Py_True) tape_.forget_saved(node);
        const bool told = !keyword.is_none() && (!tape_.is_told_on_cuda(plan) || is_on_cuda(g));
        const auto asks_for = [&, &asked = keyword](const char* name) {
            return told && !PyUnicode_CompareWithASCIIString(asked, name);
        };
        const bool both = asks_for("both"), reads_last = both || asks_for("last");
        const bool is_last = reads_last && !retain_graph_;
        Ref found;
        own_.clear();
        if (!told)
            found = call(pull, g, saved);
        else if (reads_last && !both)
            found = call(pull, g, saved, is_last ? Py_True : Py_False);
        else if (const Ref places = places_of(parents))
            found = both ? call(pull, g, saved, places, is_last ? Py_True : Py_False)
                         : call(pull, g, saved, places);
        if (!found) return explain(node), false;
        const Ref holders(PyTuple_Pack(3, (PyObject*)g, is_last ? Py_None : (PyObject*)saved,
                                       (PyObject*)found));
        return holders && hand_down(parents, found, holders);
    }

    // Of a cotangent, or a list of those of several outputs.
    static bool is_on_cuda(PyObject* g) {
        if (!PyList_CheckExact(g)) return cuda().is_array(g);
        for (Py_ssize_t i = 0; i < PyList_GET_SIZE(g); ++i)
            if (cuda().is_array(PyList_GET_ITEM(g, i))) return true;
        return false;
    }

    // Python looks closely only where a saved array may have been written to.
    bool check_not_overwritten(long long index, PyObject* node, PyObject* saved) {
        const Ref last = call(helpers_.last_write);
        if (!last) return false;
        if (!writes_.are_of(last)) {
            const Ref ranges = call(helpers_.written);
            if (!ranges || !writes_.read(ranges, last)) return false;
        }
        return writes_.spared(saved, index) || call(helpers_.check_not_overwritten, node);
    }

    // Says in the error of a rule whose it is.
    void explain(PyObject* node) {
        PyObject *type, *error, *trace;
        PyErr_Fetch(&type, &error, &trace);
        PyErr_NormalizeException(&type, &error, &trace);
        if (error && !call(helpers_.rule_failed, node, error)) PyErr_Clear();
        PyErr_Restore(type, error, trace);
    }

    // Puts the cotangent of one output beside those of the operation's other outputs.
    bool collect(PyObject* node, PyObject* parent, PyObject* g) {
        Ref slots = Ref::to(PyDict_GetItemWithError(cotangents_, parent));
        if (!slots) {
            if (PyErr_Occurred()) return false;
            slots = Ref(PyList_New(0));
            for (long i = PyLong_AsLong(item(tape_.shape(parent), 0)); i > 0; --i)
                if (!slots || PyList_Append(slots, Py_None) < 0) return false;
            if (!slots || !queue(parent, slots)) return false;
        }
        const Py_ssize_t at = PyLong_AsSsize_t(tape_.position(node));
        PyObject* before = PyList_GetItem(slots, at);  // of another alias of this output
        if (!before) return false;
        Ref total = before == Py_None ? Ref::to(g) : call(helpers_.plus, before, g);
        return total && PyList_SetItem(slots, at, Py_NewRef(total)) == 0;
    }

    // A leaf's Tensor in the optimizer's arena if it has no gradient yet and nobody listens; else None.
    Ref own_place(PyObject* leaf) const {
        if (tape_.grad(leaf) != Py_None || tape_.hooks(leaf) != Py_None) return Ref::to(Py_None);
        {
            Ref buffer = Ref::to(tape_.grad_buffer(leaf));
            if (!tape_.is_tensor(buffer)) return Ref::to(Py_None);
            const Ref home = TL_GET(buffer, home);
            if (!home) return Ref();
            // The leaf and we have the Tensor; the Tensor, its `home`, the arena twice, and we the array.
            PyObject* array = tape_.data(buffer);
            if (array == home && Py_REFCNT(buffer) == 2 && Py_REFCNT(array) == 5) return buffer;
        }
        return call(helpers_.own_place, leaf);  // else somebody holds the last gradient
    }

    // Where the gradients of `parents` may be put straight away: an array each, or None. A leaf that
    // is parent twice has no place: its two gradients must not lie in one.
    Ref places_of(PyObject* parents) {
        const Py_ssize_t count = length(parents);
        Ref places(PyTuple_New(count));
        for (Py_ssize_t i = 0; places && i < count; ++i) {
            PyObject* parent = item(parents, i);
            bool once = tape_.is_tensor(parent);
            for (Py_ssize_t j = 0; once && j < count; ++j) once = j == i || item(parents, j) != parent;
            own_.push_back(once ? own_place(parent) : Ref::to(Py_None));
            const Ref& place = own_.back();
            if (!place) return Ref();
            PyTuple_SetItem(places, i, Py_NewRef(place.is_none() ? Py_None : tape_.data(place)));
        }
        return places;
    }

    bool hand_down(PyObject* parents, PyObject* found, PyObject* holders) {
        const Ref each(PySequence_Fast(found, "a rule returns a tuple"));
        if (!each) return false;
        if (length(each) != length(parents)) {
            PyErr_SetString(PyExc_ValueError, "a rule must return one gradient, or None, per input");
            return false;
        }
        for (Py_ssize_t i = 0; i < length(parents); ++i) {
            PyObject* parent = item(parents, i);
            Ref d = Ref::to(item(each, i));
            if (parent == Py_None || d.is_none()) continue;
            const bool is_leaf = tape_.is_tensor(parent);
            PyObject* target = is_leaf ? tape_.data(parent) : parent;
            const bool fits = is_leaf ? fits_leaf(d, target) : fits_node(d, target);
            if (!fits && !(d = call(helpers_.fitted, d, target))) return false;
            const bool handed = is_leaf ? deliver(parent, i, d, holders) && arrivals_.arrived(parent)
                                        : send(parent, d);
            if (!handed) return false;
        }
        return true;
    }

    // Whether a gradient has the shape and dtype of its target. If not known, then no.
    static bool fits_leaf(PyObject* d, PyObject* data) {
        if (cuda().is_array(d) && cuda().is_array(data))
            return cuda().dtype(d) == cuda().dtype(data) &&
                   PyObject_RichCompareBool(cuda().shape(d), cuda().shape(data), Py_EQ) == 1;
        if (!PyArray_CheckExact(d) || !PyArray_CheckExact(data)) return false;
        auto *array = (PyArrayObject*)d, *other = (PyArrayObject*)data;
        return PyArray_SAMESHAPE(array, other) && PyArray_DESCR(array) == PyArray_DESCR(other);
    }

    bool fits_node(PyObject* d, PyObject* node) const {
        if (cuda().is_array(d))
            return (cuda().dtype(d) == tape_.dtype(node) || is_taken(d, node)) &&
                   PyObject_RichCompareBool(cuda().shape(d), tape_.shape(node), Py_EQ) == 1;
        auto* array = (PyArrayObject*)d;
        if (!PyArray_CheckExact(d) || (PyObject*)PyArray_DESCR(array) != tape_.dtype(node)) return false;
        PyObject* shape = tape_.shape(node);
        bool same = length(shape) == PyArray_NDIM(array);
        for (int i = 0; same && i < PyArray_NDIM(array); ++i)
            same = PyLong_AsSsize_t(item(shape, i)) == PyArray_DIM(array, i);
        return same;
    }

    // Whether a node takes a cotangent of another dtype: in 16 bits where its own is float32, or the
    // other way round.
    bool is_taken(PyObject* d, PyObject* node) const {
        if (!tape_.takes_any_float(node)) return false;
        const Type one = cuda().read(d).type, other = type_of((PyArray_Descr*)tape_.dtype(node));
        return one == F32 ? other == F16 || other == BF16 : other == F32 && (one == F16 || one == BF16);
    }

    // Gives a leaf, parent `i` of the node at hand, its gradient.
    bool deliver(PyObject* leaf, Py_ssize_t i, PyObject* d, PyObject* holders) {
        if (i < Py_ssize_t(own_.size()) && !own_[i].is_none() && tape_.data(own_[i]) == d) {
            if (tape_.grad(leaf) == Py_None) {  // it may have been parent twice
                tape_.set_grad(leaf, own_[i]);
                return true;
            }
        }
        if (i < Py_ssize_t(own_.size())) own_[i] = Ref::to(Py_None);  // we hold it no more
        const int copied = copied_to_arena(leaf, d);
        return copied ? copied > 0 : bool(call(accumulate_, leaf, d, holders));
    }

    // Puts the first gradient of a leaf at its place in the arena, if there is one and it is a plain
    // copy of memory. -1 where an error is pending.
    int copied_to_arena(PyObject* leaf, PyObject* d) const {
        if (!tape_.is_tensor(tape_.grad_buffer(leaf))) return 0;
        const Ref place = own_place(leaf);
        if (!place || place.is_none()) return place ? 0 : -1;
        PyObject* to = tape_.data(place);
        int copied = 0;
        if (cuda().is_array(d)) {
            copied = cuda().copy(to, d);
        } else if (PyArray_CheckExact(to) && PyArray_CheckExact(d)) {
            auto *target = (PyArrayObject*)to, *source = (PyArrayObject*)d;
            copied = PyArray_NBYTES(target) <= kSmall && PyArray_DESCR(target) == PyArray_DESCR(source) &&
                     PyArray_SIZE(target) == PyArray_SIZE(source) && PyArray_ISCARRAY(target) &&
                     PyArray_ISCARRAY_RO(source);
            if (copied) std::memmove(PyArray_DATA(target), PyArray_DATA(source), PyArray_NBYTES(target));
        }
        if (copied > 0) tape_.set_grad(leaf, place);
        return copied;
    }
};

PyObject* py_walk(PyObject*, PyObject* const* args, Py_ssize_t given) {
    if (given != 7 || !tape().is_node(args[0]) || !PyBool_Check(args[3]) || !PyTuple_Check(args[5]) ||
        PyTuple_GET_SIZE(args[5]) != Walk::kHelpers || !Arrivals::fits(args[6]))
        return PyErr_Format(PyExc_TypeError,
                            "walk(node, g, accumulate, retain_graph, overwritten, helpers, arrivals) takes "
                            "a node of the tape, helpers a tuple of %zd, and arrivals of three or None",
                            Walk::kHelpers);
    const long long overwritten = PyLong_AsLongLong(args[4]);
    if (overwritten == -1 && PyErr_Occurred()) return nullptr;
    Walk walk(args[2], args[3] == Py_True, overwritten, args[5]);
    return walk.run(args[0], args[1], args[6]) ? Py_NewRef(Py_None) : nullptr;
}

}  // namespace tl
