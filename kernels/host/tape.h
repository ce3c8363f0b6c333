// The objects of the tape (tensorlite/tensor.py, tape.py), made and read without Python's own code.
#pragma once

#include <structmember.h>  // what Python 3.11 does not include itself

#include "host/objects.h"

namespace tl {

// Where the objects of a class keep an attribute of its __slots__.
class Slot {
    Py_ssize_t offset_ = 0;

  public:
    bool find(PyObject* type, const char* name) {
        const Ref member(PyObject_GetAttrString(type, name));
        if (!member) return false;
        if (!Py_IS_TYPE(member, &PyMemberDescr_Type))
            return PyErr_Format(PyExc_TypeError, "%R has no slot %s", type, name), false;
        offset_ = ((PyMemberDescrObject*)(PyObject*)member)->d_member->offset;
        return true;
    }
    PyObject*& of(PyObject* object) const { return *(PyObject**)((char*)object + offset_); }
    // Of an object that was just made.
    void set(PyObject* object, PyObject* value) const { of(object) = Py_NewRef(value); }
};

// Tensors and nodes, made without their __init__.
class Tape {
    PyObject *tensor_ = nullptr, *node_ = nullptr, *output_node_ = nullptr, *next_index_ = nullptr,
             *views_ = nullptr;
    PyObject *plan_type_ = nullptr, *mode_ = nullptr;
    Slot special_, grad_switch_;
    Slot data_, history_, requires_grad_, view_of_, grad_, grad_buffer_, hooks_, rewritten_;
    Slot index_, plan_, parents_, saved_, shape_, dtype_, node_hooks_, source_, position_;
    Slot pull_, keyword_, keeps_, on_cuda_, any_float_;

  public:
    // Kept alive for good.
    bool use(PyObject* tensor, PyObject* node, PyObject* output_node, PyObject* next_index,
             PyObject* views, PyObject* plan, PyObject* mode, PyObject* switches) {
        tensor_ = Py_NewRef(tensor), node_ = Py_NewRef(node);
        output_node_ = Py_NewRef(output_node), next_index_ = Py_NewRef(next_index);
        views_ = Py_NewRef(views), plan_type_ = Py_NewRef(plan), mode_ = Py_NewRef(mode);
        return data_.find(tensor, "array") && history_.find(tensor, "node") &&
               requires_grad_.find(tensor, "requires_grad") && view_of_.find(tensor, "view_of") &&
               grad_.find(tensor, "grad") && grad_buffer_.find(tensor, "grad_buffer") &&
               hooks_.find(tensor, "hooks") && rewritten_.find(views, "rewritten") &&
               special_.find(switches, "special") && grad_switch_.find(switches, "grad") &&
               node_hooks_.find(node, "hooks") && source_.find(node, "source") &&
               pull_.find(plan, "pull") && keyword_.find(plan, "keyword") && keeps_.find(plan, "keeps") &&
               on_cuda_.find(plan, "on_cuda") && any_float_.find(plan, "any_float") &&
               index_.find(node, "index") &&
               plan_.find(node, "plan") && parents_.find(node, "parents") &&
               saved_.find(node, "saved") && shape_.find(node, "shape") &&
               dtype_.find(node, "dtype") && position_.find(output_node, "position");
    }

    // What this thread's operations do besides computing (`Switches` of tensorlite/tape.py).
    struct Mode {
        bool special, grad;
    };
    // False where an error is pending.
    bool read(Mode& mode) const {
        static PyObject* const key = PyUnicode_InternFromString("tensorlite.switches");
        PyObject* const known = PyThreadState_GetDict();
        if (!known || !key) return PyErr_NoMemory(), false;
        PyObject* switches = PyDict_GetItemWithError(known, key);
        if (!switches) {  // a new thread
            const Ref found = PyErr_Occurred() ? Ref() : TL_GET(mode_, switches);
            if (!found || PyDict_SetItem(known, key, found) < 0) return false;
            switches = found;
        }
        mode = {special_.of(switches) != Py_False, grad_switch_.of(switches) == Py_True};
        return true;
    }

    bool is_tensor(PyObject* object) const {
        return tensor_ && PyObject_TypeCheck(object, (PyTypeObject*)tensor_);
    }
    bool is_node(PyObject* object) const {
        return node_ && PyObject_TypeCheck(object, (PyTypeObject*)node_);
    }
    bool is_output_node(PyObject* node) const { return Py_IS_TYPE(node, (PyTypeObject*)output_node_); }

    // Borrowed, as all of these.
    PyObject* data(PyObject* tensor) const { return data_.of(tensor); }
    PyObject* grad(PyObject* tensor) const { return grad_.of(tensor); }
    PyObject* grad_buffer(PyObject* tensor) const { return grad_buffer_.of(tensor); }
    PyObject* hooks(PyObject* tensor) const { return hooks_.of(tensor); }
    PyObject* node_hooks(PyObject* node) const { return node_hooks_.of(node); }
    PyObject* index(PyObject* node) const { return index_.of(node); }
    PyObject* parents(PyObject* node) const { return parents_.of(node); }
    PyObject* position(PyObject* output_node) const { return position_.of(output_node); }
    PyObject* shape(PyObject* node) const { return shape_.of(node); }
    PyObject* dtype(PyObject* node) const { return dtype_.of(node); }
    // Of an output node there are neither.
    PyObject* plan(PyObject* node) const { return plan_.of(node); }
    PyObject* saved(PyObject* node) const { return saved_.of(node); }

    void set_grad(PyObject* tensor, PyObject* grad) const {
        const Ref before(std::exchange(grad_.of(tensor), Py_NewRef(grad)));
    }

    // How to go on from a node: see `Plan` of tensorlite/plan.py, or what stands for one.
    struct Way {
        Ref pull, keyword, keeps;
    };
    Way way(PyObject* plan) const {
        if (!Py_IS_TYPE(plan, (PyTypeObject*)plan_type_))
            return {TL_GET(plan, pull), TL_GET(plan, keyword), TL_GET(plan, keeps)};
        return {Ref::to(pull_.of(plan)), Ref::to(keyword_.of(plan)), Ref::to(keeps_.of(plan))};
    }

    // Whether what the keyword stands for is told on CUDA alone.
    bool is_told_on_cuda(PyObject* plan) const {
        return Py_IS_TYPE(plan, (PyTypeObject*)plan_type_) && on_cuda_.of(plan) == Py_True;
    }
    // Whether a node takes a cotangent of another float dtype than its own. Hooks see their own.
    bool takes_any_float(PyObject* node) const {
        if (node_hooks(node) != Py_None) return false;
        PyObject* how = plan(is_output_node(node) ? PyTuple_GET_ITEM(parents(node), 0) : node);
        return Py_IS_TYPE(how, (PyTypeObject*)plan_type_) && any_float_.of(how) == Py_True;
    }

    void forget_saved(PyObject* node) const {
        const Ref before(std::exchange(saved_.of(node), Py_NewRef(Py_None)));
    }

    // What a gradient of the Tensor flows to: its node, or if it is a leaf itself; or None.
    PyObject* parent(PyObject* tensor) const {
        if (requires_grad_.of(tensor) != Py_True) return Py_None;
        PyObject* node = history_.of(tensor);
        return !node || node == Py_None ? tensor : node;
    }

    Ref tensor(PyObject* data, PyObject* node) const {
        Ref made = make(tensor_);
        if (!made) return made;
        data_.set(made, data);
        history_.set(made, node);
        requires_grad_.set(made, node == Py_None ? Py_False : Py_True);
        for (const Slot* slot : {&view_of_, &grad_, &grad_buffer_, &hooks_}) slot->set(made, Py_None);
        return made;
    }

    // Remember that `made` shows the memory of `source` (tensorlite/views.py).
    bool mark(PyObject* made, PyObject* source, PyObject* primitive, PyObject* values,
              PyObject* position) const {
        PyObject* views = view_of_.of(source);
        if (PyTuple_CheckExact(views)) {
            views = item(views, length(views) - 1);
        } else if (views == Py_None) {
            Ref first = make(views_);
            static PyObject* const never = PyLong_FromLong(-1);
            if (!first) return false;
            rewritten_.set(first, never);
            views = first;
            const Ref before(std::exchange(view_of_.of(source), first.release()));
        }
        PyObject* way = PyTuple_Pack(5, source, primitive, values, position, views);
        if (!way) return false;
        const Ref before(std::exchange(view_of_.of(made), way));
        return true;
    }

    Ref node(PyObject* plan, PyObject* parents, PyObject* saved, PyObject* shape,
             PyObject* dtype) const {
        Ref made = recorded(node_, parents, shape, dtype);
        if (!made) return made;
        plan_.set(made, plan);
        saved_.set(made, saved);
        return made;
    }

    Ref output_node(PyObject* node, Py_ssize_t position, PyObject* shape, PyObject* dtype) const {
        const Ref parents(PyTuple_Pack(1, node)), at(PyLong_FromSsize_t(position));
        if (!parents || !at) return Ref();
        Ref made = recorded(output_node_, parents, shape, dtype);
        if (made) position_.set(made, at);
        return made;
    }

  private:
    static Ref make(PyObject* type) { return Ref(PyType_GenericAlloc((PyTypeObject*)type, 0)); }

    Ref recorded(PyObject* type, PyObject* parents, PyObject* shape, PyObject* dtype) const {
        const Ref index = call(next_index_);
        Ref made = index ? make(type) : Ref();
        if (!made) return made;
        index_.set(made, index);
        node_hooks_.set(made, Py_None);
        source_.set(made, Py_None);
        parents_.set(made, parents);
        shape_.set(made, shape);
        dtype_.set(made, dtype);
        return made;
    }
};

// The one tape, known once `use_tape` was called.
inline Tape& tape() {
    static Tape known;
    return known;
}

}  // namespace tl
