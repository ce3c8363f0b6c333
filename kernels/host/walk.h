// walk(node, g, accumulate, retain_graph, overwritten, helpers): the walk of tensorlite/backward.py
// in its ordinary case, where it costs a small model as much as its arithmetic: every gradient is
// wanted, none is recorded, and all are on this device. `propagate` there says what happens in which
// order; what is out of the ordinary in one node or one gradient is left to its functions, `helpers`.
#pragma once

#include <algorithm>
#include <vector>

#include "host/objects.h"

namespace tl {

class Walk {
    // Of tensorlite/backward.py, in this order.
    struct Helpers {
        PyObject *tensor, *plus, *fitted, *run_hooks, *used_twice, *check_not_overwritten;
    };
    struct Entry {
        long long index;
        PyObject* node;  // which `cotangents_` keeps alive
        bool operator<(const Entry& other) const { return index < other.index; }
    };

    PyObject* const accumulate_;
    const bool retain_graph_;
    const long long overwritten_;
    Helpers helpers_;
    Ref cotangents_{PyDict_New()};
    std::vector<Entry> heap_;  // the newest first: what it feeds is done

  public:
    Walk(PyObject* accumulate, bool retain_graph, long long overwritten, PyObject* helpers)
        : accumulate_(accumulate), retain_graph_(retain_graph), overwritten_(overwritten) {
        for (Py_ssize_t i = 0; i < kHelpers; ++i) ((PyObject**)&helpers_)[i] = item(helpers, i);
    }

    static constexpr Py_ssize_t kHelpers = sizeof(Helpers) / sizeof(PyObject*);

    bool run(PyObject* root, PyObject* g) {
        bool fine = cotangents_ && send(root, g);
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
    bool is_tensor(PyObject* object) const {
        return PyObject_TypeCheck(object, (PyTypeObject*)helpers_.tensor);
    }

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
        const Ref index = TL_GET(node, index);
        if (!index || PyDict_SetItem(cotangents_, node, d) < 0) return false;
        heap_.push_back({PyLong_AsLongLong(index), node});
        std::push_heap(heap_.begin(), heap_.end());
        return !PyErr_Occurred();
    }

    bool visit(long long index, PyObject* node, Ref g) {
        const Ref hooks = TL_GET(node, hooks), plan = TL_GET(node, plan), saved = TL_GET(node, saved);
        const Ref parents = TL_GET(node, parents);
        if (!hooks || !plan || !saved || !parents) return false;
        if (!hooks.is_none() && !(g = call(helpers_.run_hooks, hooks, g, Py_False))) return false;
        if (plan.is_none()) return collect(node, item(parents, 0), g);
        if (saved.is_none()) return call(helpers_.used_twice, node), false;
        if (index < overwritten_ && !call(helpers_.check_not_overwritten, node)) return false;
        if (!retain_graph_ && PyObject_SetAttr(node, TL_NAME(saved), Py_None) < 0) return false;

        const Ref pull = TL_GET(plan, pull), asks = TL_GET(plan, asks);
        if (!pull || !asks) return false;
        const bool asks_last = !asks.is_none() && !PyUnicode_CompareWithASCIIString(asks, "last");
        const bool is_last = asks_last && !retain_graph_;
        Ref found;
        if (asks.is_none())
            found = call(pull, g, saved);
        else if (asks_last)
            found = call(pull, g, saved, is_last ? Py_True : Py_False);
        else if (const Ref places = places_of(parents))
            found = call(pull, g, saved, places);
        if (!found) return false;
        const Ref holders(PyTuple_Pack(3, (PyObject*)g, is_last ? Py_None : (PyObject*)saved,
                                       (PyObject*)found));
        return holders && hand_down(parents, found, holders);
    }

    // Puts the cotangent of one output beside those of the operation's other outputs.
    bool collect(PyObject* node, PyObject* parent, PyObject* g) {
        const Ref position = TL_GET(node, position), shape = TL_GET(parent, shape);
        if (!position || !shape) return false;
        Ref slots = Ref::to(PyDict_GetItemWithError(cotangents_, parent));
        if (!slots) {
            if (PyErr_Occurred()) return false;
            slots = Ref(PyList_New(0));
            for (long i = PyLong_AsLong(item(shape, 0)); i > 0; --i)
                if (!slots || PyList_Append(slots, Py_None) < 0) return false;
            if (!slots || !queue(parent, slots)) return false;
        }
        const Py_ssize_t at = PyLong_AsSsize_t(position);
        PyObject* before = PyList_GetItem(slots, at);  // of another alias of this output
        if (!before) return false;
        Ref total = before == Py_None ? Ref::to(g) : call(helpers_.plus, before, g);
        return total && PyList_SetItem(slots, at, Py_NewRef(total)) == 0;
    }

    // A leaf's Tensor in the optimizer's arena if it has no gradient yet and nobody listens; else None.
    Ref own_place(PyObject* leaf) {
        const Ref grad = TL_GET(leaf, grad), hooks = TL_GET(leaf, hooks);
        if (!grad || !hooks) return Ref();
        return grad.is_none() && hooks.is_none() ? TL_GET(leaf, grad_buffer) : Ref::to(Py_None);
    }

    // Where the gradients of `parents` may be put straight away: an array each, or None.
    Ref places_of(PyObject* parents) {
        const Py_ssize_t count = length(parents);
        Ref places(PyTuple_New(count));
        for (Py_ssize_t i = 0; places && i < count; ++i) {
            PyObject* parent = item(parents, i);
            Ref place = is_tensor(parent) ? own_place(parent) : Ref::to(Py_None);
            if (place && !place.is_none()) place = TL_GET(place, data);
            if (!place) return Ref();
            PyTuple_SetItem(places, i, Py_NewRef(place));
        }
        return places;
    }

    bool hand_down(PyObject* parents, PyObject* found, PyObject* holders) {
        const Ref each(PySequence_Fast(found, "a rule returns a tuple"));
        if (!each) return false;
        if (length(each) != length(parents)) {
            PyErr_SetString(PyExc_ValueError, "a rule must return a gradient, or None, an input");
            return false;
        }
        for (Py_ssize_t i = 0; i < length(parents); ++i) {
            PyObject* parent = item(parents, i);
            Ref d = Ref::to(item(each, i));
            if (parent == Py_None || d.is_none()) continue;
            const bool is_leaf = is_tensor(parent);
            const Ref target = is_leaf ? TL_GET(parent, data) : Ref::to(parent);
            if (!target) return false;
            if (!fits(d, target) && !(d = call(helpers_.fitted, d, target))) return false;
            if (!(is_leaf ? deliver(parent, d, holders) : send(parent, d))) return false;
        }
        return true;
    }

    // Whether a gradient has the shape and dtype of its target. If not known, then no.
    static bool fits(PyObject* d, PyObject* target) {
        if (!PyArray_CheckExact(d)) return false;
        auto* array = (PyArrayObject*)d;
        if (PyArray_CheckExact(target)) {
            auto* other = (PyArrayObject*)target;
            return PyArray_SAMESHAPE(array, other) && PyArray_DESCR(array) == PyArray_DESCR(other);
        }
        const Ref shape = TL_GET(target, shape), dtype = TL_GET(target, dtype);
        bool same = shape && dtype && (PyObject*)PyArray_DESCR(array) == dtype &&
                    length(shape) == PyArray_NDIM(array);
        for (int i = 0; same && i < PyArray_NDIM(array); ++i)
            same = PyLong_AsSsize_t(item(shape, i)) == PyArray_DIM(array, i);
        PyErr_Clear();
        return same;
    }

    bool deliver(PyObject* leaf, PyObject* d, PyObject* holders) {
        const Ref place = own_place(leaf);
        if (!place) return false;
        if (!place.is_none()) {
            const Ref data = TL_GET(place, data);
            if (!data) return false;
            if (data == d) return PyObject_SetAttr(leaf, TL_NAME(grad), place) == 0;
        }
        return call(accumulate_, leaf, d, holders);
    }
};

inline PyObject* py_walk(PyObject*, PyObject* const* args, Py_ssize_t given) {
    if (given != 6 || !PyBool_Check(args[3]) || !PyTuple_Check(args[5]) ||
        PyTuple_GET_SIZE(args[5]) != Walk::kHelpers)
        return PyErr_Format(PyExc_TypeError, "walk(node, g, accumulate, retain_graph, overwritten, "
                                             "helpers) takes 6 arguments, the last a tuple of %zd",
                            Walk::kHelpers);
    const long long overwritten = PyLong_AsLongLong(args[4]);
    if (overwritten == -1 && PyErr_Occurred()) return nullptr;
    Walk walk(args[2], args[3] == Py_True, overwritten, args[5]);
    return walk.run(args[0], args[1]) ? Py_NewRef(Py_None) : nullptr;
}

}  // namespace tl
