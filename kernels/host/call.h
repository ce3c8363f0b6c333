// compiled_call(callees, inputs, kernel_from, has_aux, operands_from, floats, view): the call of a
// primitive (tensorlite/call.py) in its ordinary case, in which writing it on the tape takes longer
// than a small kernel, or than a launch: all arrays are NumPy's, or all are CuPy's, and no policy wants
// to see the operation. What it returns is called as
// f(*inputs, *static); NotImplemented means that the call in Python is to be made,
// which also says what is wrong with the arguments. None if there are too many of them, or no input.
#pragma once

#include <algorithm>

#include "host/cuda.h"
#include "host/tape.h"

namespace tl {

class PrimitiveCall {
  public:
    static constexpr Py_ssize_t kMostInputs = 8, kMostStatic = 16;

  private:
    // From tensorlite/call.py, in this order.
    struct Callees {
        PyObject *own, *own_name, *kernel, *kernel_by_position, *kernels;
        PyObject *reference, *reference_by_position, *xp, *names;
        PyObject *plan_of, *as_arrays, *wrap, *record, *primitive;
    };
    enum Kind { kInput, kShape, kStrides, kDtype, kOutput, kAux, kStatic };
    struct Residual {
        Kind kind;
        Py_ssize_t key;
    };
    // The inputs as arrays, or as they are.
    class Arrays {
        PyObject* each_[kMostInputs];
        Py_ssize_t count_ = 0;

      public:
        Arrays() = default;
        Arrays(const Arrays&) = delete;
        ~Arrays() {
            if (Ending::is_over()) return;
            for (Py_ssize_t i = 0; i < count_; ++i) Py_DECREF(each_[i]);
        }
        void add(PyObject* x) { each_[count_++] = Py_NewRef(x); }
        PyObject* const* all() const { return each_; }
    };
    struct Plan {
        PyObject* plan = nullptr;
        bool differentiable = false;
        List<Residual> residuals;
    };

    Callees callees_;
    const Tape& tape_ = tape();
    const Py_ssize_t inputs_, static_, kernel_from_;
    const bool has_aux_;
    const Py_ssize_t operands_from_;  // from this input on all have one dtype; -1 if they need not
    const bool floats_;               // and a floating one
    const bool view_;                 // whether outputs may show the first input's memory
    List<Plan> plans_;  // by which inputs need gradients, a bit each
    PyObject* own_on_cuda_ = nullptr;  // what `own` is there, or None; looked for once

  public:
    static constexpr Py_ssize_t kCallees = sizeof(Callees) / sizeof(PyObject*), kNames = 8;

    // `callees` is kept alive for good, as primitives are.
    PrimitiveCall(PyObject* callees, Py_ssize_t inputs, Py_ssize_t kernel_from, bool has_aux,
                  Py_ssize_t operands_from, bool floats, bool view)
        : inputs_(inputs),
          static_(length(item(callees, kNames)) - has_aux),
          kernel_from_(kernel_from),
          has_aux_(has_aux),
          operands_from_(operands_from),
          floats_(floats),
          view_(view),
          plans_(size_t(1) << inputs) {
        Py_INCREF(callees);
        for (Py_ssize_t i = 0; i < kCallees; ++i) ((PyObject**)&callees_)[i] = item(callees, i);
    }

    PyObject* run(PyObject* const* args, Py_ssize_t given) {
        Tape::Mode mode;
        if (!tape_.read(mode)) return nullptr;
        if (mode.special || given != inputs_ + static_) Py_RETURN_NOTIMPLEMENTED;
        PyObject* const* values = args + inputs_;
        unsigned needs = 0;
        bool bare = true, on_host = false, on_cuda = false;
        Arrays arrays;
        PyObject* parent_of[kMostInputs];  // borrowed
        for (Py_ssize_t i = 0; i < inputs_; ++i) {
            PyObject *x = args[i], *parent = Py_None;
            if (tape_.is_tensor(x)) {
                bare = false;
                parent = tape_.parent(x);
                x = tape_.data(x);
                if (!x || !is_array(x)) Py_RETURN_NOTIMPLEMENTED;
            } else if (!is_plain(x)) {
                Py_RETURN_NOTIMPLEMENTED;
            }
            if (parent != Py_None) needs |= 1u << i;
            on_host |= PyArray_CheckExact(x), on_cuda |= cuda().is_array(x);
            arrays.add(x);
            parent_of[i] = parent;
        }
        PyObject* const* raw = arrays.all();
        if (bare && !is_array(raw[0])) Py_RETURN_NOTIMPLEMENTED;
        if ((on_cuda && on_host) || (on_cuda && !cuda().kernels)) Py_RETURN_NOTIMPLEMENTED;
        if (operands_from_ >= 0 && !in_one_dtype(raw)) Py_RETURN_NOTIMPLEMENTED;

        const bool record = mode.grad && needs;
        const Ref parents(record ? PyTuple_New(inputs_) : Py_NewRef(Py_None));
        if (!parents) return nullptr;
        for (Py_ssize_t i = 0; record && i < inputs_; ++i)
            PyTuple_SET_ITEM((PyObject*)parents, i, Py_NewRef(parent_of[i]));
        Ref y = compute(raw, values, record, on_cuda), aux;
        if (!y) return for_python();
        if (has_aux_ && !split(y, aux)) return nullptr;
        if (!are_arrays(y) && !(y = call(callees_.as_arrays, y))) return nullptr;
        const bool ours = are_arrays(y);  // not if this is a copy to another device
        if (!record) {
            if (bare) return y.release();
            Ref result = ours ? on_tape(y, Py_None, nullptr) : call(callees_.wrap, y);
            return marked(result, y, args[0], values) ? result.release() : nullptr;
        }
        const Plan* plan = plan_of(needs, parents);
        const Ref saved = plan ? residuals(*plan, raw, y, aux, values) : Ref();
        if (!saved) return nullptr;
        Ref result = ours ? on_tape(y, parents, plan, saved)
                          : call(callees_.record, plan->plan, parents, saved, y);
        return marked(result, y, args[0], values) ? result.release() : nullptr;
    }

  private:
    // Let results of a view that show `source`'s memory know it. False where an error is pending.
    bool marked(PyObject* result, PyObject* y, PyObject* source, PyObject* const* values) const {
        if (!result) return false;
        if (!view_ || !are_arrays(y) || !tape_.is_tensor(source)) return true;
        const Ref given(PyTuple_New(static_));
        for (Py_ssize_t i = 0; given && i < static_; ++i)
            PyTuple_SET_ITEM((PyObject*)given, i, Py_NewRef(values[i]));
        if (!given) return false;
        if (!PyTuple_CheckExact(result))
            return !shows(y, tape_.data(source)) ||
                   tape_.mark(result, source, callees_.primitive, given, Py_None);
        for (Py_ssize_t i = 0; i < length(result); ++i) {
            if (!shows(item(y, i), tape_.data(source))) continue;
            const Ref position(PyLong_FromSsize_t(i));
            if (!position || !tape_.mark(item(result, i), source, callees_.primitive, given, position))
                return false;
        }
        return true;
    }

    // Whether kernels understand an operand that is no Tensor: an array as NumPy makes them, or a
    // number. Others are Python's to make plain, or to refuse.
    static bool is_plain(PyObject* x) {
        if (PyArray_CheckExact(x)) return PyArray_ISBEHAVED_RO((PyArrayObject*)x);
        return cuda().is_array(x) || x == Py_None || PyFloat_Check(x) || PyLong_Check(x) || PyArray_IsScalar(x, Generic);
    }

    // Whether an array made from `x` shows its memory: NumPy names `x` or its owner as the base, and
    // `as_strided` puts an object between that does.
    static bool shows(PyObject* y, PyObject* x) {
        if (!PyArray_CheckExact(y) || !PyArray_CheckExact(x)) {
            if (!cuda().is_array(y) || !cuda().is_array(x)) return false;
            const Ref base = cuda().base(y), owner = cuda().base(x);
            return !base.is_none() && (base == x || base == owner);
        }
        PyObject* base = PyArray_BASE((PyArrayObject*)y);
        if (!base) return false;
        PyObject* owner = PyArray_BASE((PyArrayObject*)x);
        if (base == x || base == owner || PyArray_Check(base)) return base == x || base == owner;
        const Ref held(PyObject_GetAttrString(base, "base"));
        if (!held) PyErr_Clear();
        return held && (held == x || held == owner);
    }

    // Python's call makes the same mistake again, and explains it.
    static PyObject* for_python() {
        for (PyObject* kind : {PyExc_ValueError, PyExc_TypeError, PyExc_IndexError, PyExc_AttributeError})
            if (PyErr_ExceptionMatches(kind)) {
                PyErr_Clear();
                Py_RETURN_NOTIMPLEMENTED;
            }
        return nullptr;
    }

    // Whether the operands need no cast: arrays of one dtype, and numbers that leave it alone.
    bool in_one_dtype(PyObject* const* raw) const {
        Ref dtype;
        bool whole = false, fraction = false;
        for (Py_ssize_t i = operands_from_; i < inputs_; ++i) {
            PyObject* x = raw[i];
            if (is_array(x)) {
                Ref own = dtype_of(x);
                if (dtype && own != dtype) return false;
                dtype = std::move(own);
            } else if (PyFloat_CheckExact(x)) {
                fraction = true;
            } else if (PyLong_CheckExact(x)) {
                whole = true;
            } else if (x != Py_None && !PyBool_Check(x)) {
                return false;
            }
        }
        if (!dtype) return false;
        const char kind = ((PyArray_Descr*)(PyObject*)dtype)->kind;
        if (kind == 'f' || kind == 'V') return true;
        return !floats_ && !fraction && !(whole && kind == 'b');
    }

    // The result of the extension's own function, of the kernel, or of the reference.
    Ref compute(PyObject* const* raw, PyObject* const* values, bool record, bool on_cuda) {
        PyObject* passed[2 + kMostInputs + kMostStatic];
        std::copy_n(raw, inputs_, passed + 1);
        std::copy_n(values, static_, passed + 1 + inputs_);
        passed[1 + inputs_ + static_] = record ? Py_True : Py_False;  // `save`, if that is asked for
        const Py_ssize_t named = static_ + has_aux_;
        const auto run = [&](PyObject* function, PyObject* by_position, PyObject* first) {
            passed[0] = first;
            const bool plain = by_position == Py_True;
            return Ref(PyObject_Vectorcall(function, passed, 1 + inputs_ + (plain ? named : 0),
                                           plain ? nullptr : callees_.names));
        };
        PyObject* own = on_cuda ? own_on_cuda() : callees_.own;
        if (own != Py_None) {
            Ref y(PyObject_Vectorcall(own, passed + 1, inputs_ + static_, nullptr));
            if (y != Py_NotImplemented) return y;
        }
        PyObject* first = raw[0];
        const bool large = !kernel_from_ || (is_array(first) && (on_cuda || size_of(first) >= kernel_from_));
        if (callees_.kernel != Py_None && large) {
            Ref y = run(callees_.kernel, callees_.kernel_by_position, on_cuda ? cuda().kernels : callees_.kernels);
            if (y != Py_NotImplemented) return y;
        }
        return run(callees_.reference, callees_.reference_by_position, on_cuda ? cuda().xp : callees_.xp);
    }

    PyObject* own_on_cuda() {
        if (own_on_cuda_) return own_on_cuda_;
        if (callees_.own_name != Py_None) own_on_cuda_ = PyObject_GetAttr(cuda().kernels, callees_.own_name);
        if (!own_on_cuda_) PyErr_Clear(), own_on_cuda_ = Py_NewRef(Py_None);
        return own_on_cuda_;
    }

    static bool split(Ref& y, Ref& aux) {
        const Ref all(PySequence_Tuple(y));
        if (all && !length(all)) PyErr_SetString(PyExc_ValueError, "no output and no auxiliary arrays");
        if (PyErr_Occurred()) return false;
        aux = Ref(PyTuple_GetSlice(all, 1, length(all)));
        y = Ref::to(item(all, 0));
        return aux != nullptr;
    }

    static bool are_arrays(PyObject* y) {
        if (!PyTuple_CheckExact(y)) return is_array(y);
        for (Py_ssize_t i = 0; i < length(y); ++i)
            if (!is_array(item(y, i))) return false;
        return true;
    }

    // The plan for these needs, read once.
    const Plan* plan_of(unsigned needs, PyObject* parents) {
        Plan& known = plans_[needs];
        if (known.plan) return &known;
        const Ref flags(PyTuple_New(inputs_));
        for (Py_ssize_t i = 0; flags && i < inputs_; ++i)
            PyTuple_SET_ITEM((PyObject*)flags, i, PyBool_FromLong(item(parents, i) != Py_None));
        Ref plan = flags ? call(callees_.plan_of, flags) : Ref();
        if (!plan) return nullptr;
        const Ref differentiable = TL_GET(plan, differentiable), listed = TL_GET(plan, residuals);
        if (!differentiable || !listed) return nullptr;
        List<Residual> residuals;
        for (Py_ssize_t i = 0; i < length(listed); ++i) {
            PyObject *kind = item(item(listed, i), 0), *key = item(item(listed, i), 1);
            static const char* const kinds[] = {"input",  "shape", "strides", "dtype",
                                                "output", "aux",   "static"};
            for (int k = kInput; k <= kStatic; ++k)
                if (!PyUnicode_CompareWithASCIIString(kind, kinds[k]))
                    residuals.push_back({Kind(k), key == Py_None ? 0 : PyLong_AsSsize_t(key)});
        }
        if (!known.plan)  // else another thread was faster
            known = {plan.release(), differentiable == Py_True, std::move(residuals)};
        return &known;
    }

    Ref residuals(const Plan& plan, PyObject* const* raw, PyObject* y, PyObject* aux,
                  PyObject* const* values) const {
        Ref saved(PyTuple_New(plan.residuals.size()));
        for (size_t i = 0; saved && i < plan.residuals.size(); ++i) {
            const auto [kind, key] = plan.residuals[i];
            if (kind == kAux && key >= length(aux)) {
                PyErr_SetString(PyExc_IndexError, "fewer auxiliary arrays than were declared");
                return Ref();
            }
            Ref value = kind == kInput     ? Ref::to(raw[key])
                        : kind == kShape   ? shape_of(raw[key])
                        : kind == kStrides ? strides_of(raw[key])
                        : kind == kDtype   ? (is_array(raw[key]) ? dtype_of(raw[key]) : Ref::to(Py_None))
                        : kind == kOutput  ? Ref::to(y)
                        : kind == kAux     ? Ref::to(item(aux, key))
                                           : Ref::to(values[key]);
            if (!value) return value;
            PyTuple_SET_ITEM((PyObject*)saved, i, value.release());
        }
        return saved;
    }

    static Ref strides_of(PyObject* x) {
        return cuda().is_array(x) || PyArray_CheckExact(x) ? TL_GET(x, strides) : Ref(PyTuple_New(0));
    }

    static Ref shape_of(PyObject* x) {
        if (cuda().is_array(x)) return cuda().shape(x);
        return PyArray_CheckExact(x) ? TL_GET(x, shape) : Ref(PyTuple_New(0));
    }

    // The output, or each of several, as a Tensor; with a node where there is a plan that has rules.
    Ref on_tape(PyObject* y, PyObject* parents, const Plan* plan, PyObject* saved = nullptr) const {
        const bool several = PyTuple_CheckExact(y);
        Ref node = Ref::to(Py_None);
        if (plan && plan->differentiable) {
            const Ref count(several ? PyLong_FromSsize_t(length(y)) : nullptr);
            const Ref shape = several ? Ref(PyTuple_Pack(1, (PyObject*)count)) : shape_of(y);
            const Ref dtype = several ? Ref::to(Py_None) : dtype_of(y);
            node = shape ? tape_.node(plan->plan, parents, saved, shape, dtype) : Ref();
        }
        if (!node || !several) return node ? tape_.tensor(y, node) : Ref();
        Ref tensors(PyTuple_New(length(y)));
        for (Py_ssize_t i = 0; tensors && i < length(y); ++i) {
            const Ref dtype = dtype_of(item(y, i));
            Ref own = Ref::to(Py_None);
            if (!node.is_none() && is_float((PyArray_Descr*)(PyObject*)dtype)) {
                const Ref shape = shape_of(item(y, i));
                own = shape ? tape_.output_node(node, i, shape, dtype) : Ref();
            }
            Ref tensor = own ? tape_.tensor(item(y, i), own) : Ref();
            if (!tensor) return tensor;
            PyTuple_SET_ITEM((PyObject*)tensors, i, tensor.release());
        }
        return tensors;
    }

    static bool is_float(PyArray_Descr* dtype) {
        return dtype->kind == 'f' || dtype->kind == 'c' || type_of(dtype) == BF16;
    }
};

PyObject* run_compiled_call(PyObject* self, PyObject* const* args, Py_ssize_t given) {
    auto* primitive = (PrimitiveCall*)PyCapsule_GetPointer(self, nullptr);
    return primitive ? primitive->run(args, given) : nullptr;
}

PyObject* py_compiled_call(PyObject*, PyObject* const* args, Py_ssize_t given) {
    static PyMethodDef definition = {"compiled_call", (PyCFunction)(void (*)(void))guarded<run_compiled_call>,
                                     METH_FASTCALL, "f(*inputs, *static)"};
    const bool typed = given == 7 && PyTuple_Check(args[0]) && length(args[0]) == PrimitiveCall::kCallees &&
                       PyTuple_Check(item(args[0], PrimitiveCall::kNames)) && PyLong_Check(args[1]) &&
                       PyLong_Check(args[2]) && PyBool_Check(args[3]) && PyLong_Check(args[4]) &&
                       PyBool_Check(args[5]) && PyBool_Check(args[6]);
    if (!typed)
        return PyErr_Format(PyExc_TypeError,
                            "compiled_call(callees, inputs, kernel_from, has_aux, operands_from, floats, "
                            "view) takes a tuple of %zd, numbers and bools",
                            PrimitiveCall::kCallees);
    const Py_ssize_t inputs = PyLong_AsSsize_t(args[1]);
    if (inputs < 1 || inputs > PrimitiveCall::kMostInputs ||
        length(item(args[0], PrimitiveCall::kNames)) > PrimitiveCall::kMostStatic + (args[3] == Py_True))
        Py_RETURN_NONE;
    auto* made =
        new PrimitiveCall(args[0], inputs, PyLong_AsSsize_t(args[2]), args[3] == Py_True,
                          PyLong_AsSsize_t(args[4]), args[5] == Py_True, args[6] == Py_True);
    const Ref capsule(PyCapsule_New(made, nullptr, nullptr));
    return capsule ? PyCFunction_New(&definition, capsule) : nullptr;
}

}  // namespace tl
