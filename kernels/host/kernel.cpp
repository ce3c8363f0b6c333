// The call of a kernel from Python, after its table: reading and checking the arguments, choosing the
// instantiation, running it, noting it in the open log.
#define NO_IMPORT_ARRAY  // module.h does it
#include "host/kernel.h"

#include <dlfcn.h>

#include <algorithm>

#include "host/count.h"
#include "host/entry.h"
#include "host/kernels.h"
#include "host/record.h"
#include "host/short_floats.h"

namespace tl {
namespace {

constexpr int kMost = 32, kMostArrays = 16, kMostNumbers = 64;

// The arguments of one call. After the first mistake a Python error is pending, and nothing runs.
class Call {
    const HostKernel& kernel_;
    PyObject* const* args_;
    Index elements_ = 0, written_ = 0;
    PyThreadState* state_ = nullptr;
    WidenedArrays widened_;
    Type types_[2] = {ANY, ANY};
    int arrays_ = 0, scalars_ = 0, numbers_ = 0;
    void* data_[kMostArrays];
    void* narrow_[kMostArrays];       // where the 16-bit floats are, if floats were put in their place
    void* const* stored_ = data_;
    Type narrow_types_[2];
    const Type* stored_types_ = types_;
    Index size_[kMostArrays];
    Index lengths_[kMostArrays][4];  // of arrays of heads
    const HostParameter* array_[kMostArrays];
    Number numbers_of_[kMostNumbers];
    Index by_position_[kMost];  // the whole numbers, where expressions look for them
    bool failed_ = false;

  public:
    Call(const HostKernel& kernel, PyObject* const* args) : kernel_(kernel), args_(args) {}
    Call(const Call&) = delete;
    ~Call() {
        if (state_) take_lock(state_);
    }

    PyObject* run(Py_ssize_t given) {
        if (given != kernel_.parameter_count)
            return fail(PyExc_TypeError, "takes %d arguments, not %zd", kernel_.parameter_count, given), nullptr;
        read_all();
        if (failed_) return nullptr;
        check_counts();
        if (failed_) return nullptr;
        if (!written_) Py_RETURN_NONE;  // all that it could write is empty
        // The kernel runs without Python's lock where it has much to do: giving it up costs more than a
        // small kernel takes.
        if (elements_ > 65536) state_ = give_up_lock();
        const bool narrow = kernel_.widened && (is_short(types_[0]) || is_short(types_[1]));
        if (narrow && kernel_.mapped && is_short(types_[0])) {
            const Body body = body_of(F32, ANY);
            map_short(types_[0] == BF16, data_, arrays_, numbers_of_, numbers_, body);
            if (recording()) note_mapped(body);
            return finish();
        }
        if (narrow) widen();
        const Body body = body_of(types_[0], types_[1]);
        if (!body) {
            if (state_) take_lock(std::exchange(state_, nullptr));
            return refuse_types(), nullptr;
        }
        body(data_, numbers_of_);
        if (recording()) note(body);
        return finish();
    }

  private:
    // Arrays of what a type parameter is computed in come after those that say what that is. The
    // strides of heads come behind all numbers.
    void read_all() {
        bool wide = false, heads = false;
        for (int i = 0; i < kernel_.parameter_count && !failed_; ++i) {
            const HostParameter& p = kernel_.parameters[i];
            if (p.kind != 'a' && p.kind != 'h') {
                read_number(i, p);
                continue;
            }
            array_[arrays_] = &p;
            wide |= p.wide, heads |= p.kind == 'h';
            if (!p.wide) read_array(p, args_[i], arrays_);
            ++arrays_;
        }
        if (!wide && !heads) return;
        for (int a = 0; a < arrays_ && !failed_; ++a)
            if (array_[a]->wide) read_later(a);
        for (int a = 0; a < arrays_ && !failed_; ++a)
            if (array_[a]->kind == 'h') read_heads((int)(array_[a] - kernel_.parameters), a);
    }

    __attribute__((noinline)) void read_later(int a) {
        read_array(*array_[a], args_[array_[a] - kernel_.parameters], a);
    }

    __attribute__((always_inline)) void read_array(const HostParameter& p, PyObject* given, int a) {
        data_[a] = nullptr, size_[a] = 0;
        if (given == Py_None && (p.access & OPTIONAL_ARRAY)) return;
        if (!PyArray_Check(given))
            return fail(PyExc_TypeError, "%s must be a NumPy array, not %s", p.name, Py_TYPE(given)->tp_name);
        auto* array = (PyArrayObject*)given;
        const Type type = type_of(array);
        Type wanted = p.choice < 0 ? p.type : types_[p.choice];
        if (p.wide && wanted != ANY) wanted = wanted == F64 ? F64 : F32;
        if (wanted == ANY && type <= BF16) wanted = types_[p.choice] = type;
        const int flags = PyArray_FLAGS(array);
        const int needed = (p.access & DENSE_ROWS ? 0 : NPY_ARRAY_C_CONTIGUOUS) | NPY_ARRAY_ALIGNED |
                           (p.access & WRITE ? NPY_ARRAY_WRITEABLE : 0);
        if (type != wanted || type == ANY || !PyArray_ISNOTSWAPPED(array))
            return fail(PyExc_TypeError, "%s must be %s, not %S", p.name, type_name(wanted),
                        (PyObject*)PyArray_DESCR(array));
        if ((flags & needed) != needed)
            return fail(PyExc_ValueError, "%s must be %saligned%s", p.name,
                        p.access & DENSE_ROWS ? "" : "C-contiguous, ", p.access & WRITE ? " and writeable" : "");
        data_[a] = PyArray_DATA(array), size_[a] = PyArray_SIZE(array);
        elements_ += size_[a];
        if (p.access & WRITE) written_ += size_[a];
    }

    // Lengths and strides of four axes, of which the last is dense.
    void read_heads(int i, int a) {
        auto* array = (PyArrayObject*)args_[i];
        Number* strides = numbers_of_ + numbers_;
        numbers_ += 4;
        for (int axis = 0; axis < 4; ++axis) strides[axis].integer = lengths_[a][axis] = 0;
        if (!data_[a]) return;
        const npy_intp item = PyArray_ITEMSIZE(array);
        const bool dense = PyArray_NDIM(array) == 4 && (PyArray_STRIDE(array, 3) == item ||
                           PyArray_DIM(array, 3) < 2 || PyArray_SIZE(array) == 0);
        if (!dense)
            return fail(PyExc_ValueError, "%s must have 4 axes, the last without gaps", array_[a]->name);
        for (int axis = 0; axis < 4; ++axis) lengths_[a][axis] = PyArray_DIM(array, axis);
        for (int axis = 0; axis < 3; ++axis) strides[axis].integer = PyArray_STRIDE(array, axis) / item;
        strides[3].integer = lengths_[a][1];
    }

    void read_number(int i, const HostParameter& p) {
        Number& number = numbers_of_[numbers_++];
        scalars_ = numbers_;
        PyObject* given = args_[i];
        switch (p.kind) {
            case 'd':
                number.real = PyFloat_AsDouble(given);
                if (number.real == -1 && PyErr_Occurred()) wrong(p, "a number");
                return;
            case 'b':
                number.integer = given == Py_True;
                if (!PyBool_Check(given)) wrong(p, "True or False");
                break;
            case 'Q':
                number.bits = PyLong_Check(given) ? PyLong_AsUnsignedLongLong(given) : 0;
                if (PyErr_Occurred() || !PyLong_Check(given)) wrong(p, "an integer from 0 to 2**64 - 1");
                return;
            default:
                number.integer = PyLong_AsLongLong(given);
                if (number.integer < 0 && PyErr_Occurred()) return wrong(p, "an integer");
                if (p.kind == 'i' && number.integer != (int)number.integer)
                    fail(PyExc_ValueError, "%s does not fit into 32 bits", p.name);
        }
        by_position_[i] = number.integer;
    }

    void check_counts() {
        const int* known = nullptr;  // many arrays have the same number of elements, in one table
        Count count;
        for (int a = 0; a < arrays_ && !failed_; ++a) {
            const HostParameter& p = *array_[a];
            const int* steps = p.count;
            if (p.kind == 'h') {
                if (data_[a]) check_lengths(p, lengths_[a], steps);
                continue;
            }
            if (steps != known) {
                known = steps;
                count = read_count(steps, by_position_);
            }
            if (count.is_sound() && (!data_[a] || size_[a] == count.value())) continue;
            if (data_[a] && size_[a] != count.value())
                fail(PyExc_ValueError, "%s has %lld elements, not %lld", p.name, (long long)size_[a],
                     (long long)count.value());
            else
                fail(PyExc_ValueError, "the number of elements of %s comes from a negative number, or is "
                     "beyond 64 bits", p.name);
        }
    }

    void check_lengths(const HostParameter& p, const Index* lengths, const int* steps) {
        for (int axis = 0; axis < 4; ++axis) {
            const Index wanted = read_count(steps, by_position_).value();
            if (lengths[axis] != wanted)
                return fail(PyExc_ValueError, "axis %d of %s has length %lld, not %lld", axis, p.name,
                            (long long)lengths[axis], (long long)wanted);
        }
    }

    bool is_widened(int a) const {
        const HostParameter& p = *array_[a];
        return p.choice >= 0 && !p.wide && (kernel_.widened >> p.choice & 1);
    }

    // Puts floats in the place of 16-bit floats.
    __attribute__((noinline)) void widen() {
        std::copy_n(data_, arrays_, narrow_);
        std::copy_n(types_, 2, narrow_types_);
        stored_ = narrow_, stored_types_ = narrow_types_;
        for (int a = 0; a < arrays_; ++a) {
            const Type type = is_widened(a) ? stored_types_[(int)array_[a]->choice] : ANY;
            if (is_short(type) && data_[a])
                data_[a] = widened_.add(data_[a], size_[a], type == BF16, array_[a]->access & WRITE);
        }
        for (int i = 0; i < 2; ++i)
            if ((kernel_.widened >> i & 1) && is_short(types_[i])) types_[i] = F32;
    }

    // There is no version for the dtypes that the first array of each choice has.
    __attribute__((noinline)) void refuse_types() {
        const HostParameter* of[2] = {};
        for (int a = arrays_; a-- > 0;)
            if (data_[a] && array_[a]->choice >= 0 && !array_[a]->wide) of[(int)array_[a]->choice] = array_[a];
        if (!of[0] || !of[1]) {
            const int one = of[0] ? 0 : 1;
            return fail(PyExc_TypeError, "has no version for %s of %s", of[one] ? of[one]->name : "arrays",
                        type_name(stored_types_[one]));
        }
        fail(PyExc_TypeError, "has no version for %s of %s with %s of %s", of[0]->name,
             type_name(stored_types_[0]), of[1]->name, type_name(stored_types_[1]));
    }

    Body body_of(Type first, Type second) const {
        for (int i = 0; i < kernel_.instance_count; ++i) {
            const HostInstance& each = kernel_.instances[i];
            if (each.types[0] == first && each.types[1] == second) return each.body;
        }
        return nullptr;
    }

    PyObject* finish() {
        widened_.round();
        if (state_) take_lock(std::exchange(state_, nullptr));
        Py_RETURN_NONE;
    }

    // --- recording (host/record.h) -------------------------------------------------------------

    Type type_of_array(int a) const {
        const HostParameter& p = *array_[a];
        if (p.choice < 0) return p.type;
        const Type type = types_[(int)p.choice];
        return p.wide ? type == F64 ? F64 : F32 : type;
    }

    std::vector<Operand> operands() const {
        std::vector<Operand> all;
        for (int a = 0; a < arrays_; ++a) {
            const Type type = type_of_array(a);
            const bool widened = is_widened(a) && is_short(stored_types_[(int)array_[a]->choice]);
            const Index each = widened ? 2 : item_size(type);
            Index last = size_[a];
            if (array_[a]->kind == 'h' && data_[a]) last = extent_of(a);
            const Type stored = widened ? stored_types_[(int)array_[a]->choice] : type;
            all.push_back({stored_[a], 0, last * each, bool(array_[a]->access & WRITE),
                           array_[a]->kind == 'a' ? letter_of(stored) : char(0)});
        }
        return all;
    }

    // From the first to behind the last element of an array of heads.
    Index extent_of(int a) const {
        auto* array = (PyArrayObject*)args_[array_[a] - kernel_.parameters];
        Index last = lengths_[a][3];
        for (int axis = 0; axis < 3; ++axis)
            last += (lengths_[a][axis] - 1) * (PyArray_STRIDE(array, axis) / PyArray_ITEMSIZE(array));
        return last;
    }

    std::vector<Scalar> scalars() const {
        std::vector<Scalar> all;
        for (int i = 0, n = 0; i < kernel_.parameter_count; ++i) {
            const char kind = kernel_.parameters[i].kind;
            if (kind == 'a' || kind == 'h') continue;
            const Number& number = numbers_of_[n++];
            if (kind == 'd') all.push_back(number.real);
            else if (kind == 'Q') all.push_back(number.bits);
            else all.push_back(number.integer);
        }
        return all;
    }

    std::vector<Number> numbers() const { return {numbers_of_, numbers_of_ + numbers_}; }

    void note(Body body) const {
        List<int> wide;
        bool any = false;
        for (int a = 0; a < arrays_; ++a) {
            const Type type = is_widened(a) ? stored_types_[(int)array_[a]->choice] : ANY;
            wide.push_back(!is_short(type) ? 0 : type == BF16 ? 2 : 1);
            any |= wide.back() != 0;
        }
        if (!any) {
            open_log()->note(kernel_.name, operands(), scalars(),
                             [body, numbers = numbers()](void* const* at) { body(at, numbers.data()); },
                             kernel_.traits);
            return;
        }
        List<Index> sizes(size_, size_ + arrays_);
        List<bool> written;
        for (int a = 0; a < arrays_; ++a) written.push_back(array_[a]->access & WRITE);
        open_log()->note(kernel_.name, operands(), scalars(),
                         [=, numbers = numbers()](void* const* at) {
                             WidenedArrays floats;
                             void* placed[kMostArrays];
                             for (size_t a = 0; a < wide.size(); ++a)
                                 placed[a] = wide[a] && at[a]
                                                 ? floats.add(at[a], sizes[a], wide[a] == 2, written[a])
                                                 : at[a];
                             body(placed, numbers.data());
                             floats.round();
                         },
                         kernel_.traits);
    }

    void note_mapped(Body body) const {
        const bool is_bf16 = types_[0] == BF16;
        open_log()->note(kernel_.name, operands(), scalars(),
                         [is_bf16, body, arrays = arrays_, numbers = numbers()](void* const* at) {
                             map_short(is_bf16, at, arrays, numbers.data(), (int)numbers.size(), body);
                         },
                         kernel_.traits);
    }

    // --- mistakes ------------------------------------------------------------------------------

    void wrong(const HostParameter& p, const char* wanted) {
        PyErr_Clear();
        fail(PyExc_TypeError, "%s must be %s", p.name, wanted);
    }

    __attribute__((cold, noinline)) void fail(PyObject* type, const char* format, ...) {
        if (failed_) return;
        failed_ = true;
        va_list values;
        va_start(values, format);
        const Ref message(PyUnicode_FromFormatV(format, values));
        va_end(values);
        if (message) PyErr_Format(type, "%s: %U", kernel_.signature, (PyObject*)message);
    }
};

// A kernel of the module as Python's functions have it: their `self`. A capsule would have to be asked
// for its pointer in every call.
struct Known {
    PyObject_HEAD
    const HostKernel* kernel;
    PyMethodDef definition, making_definition;
    Entry* entry;
};

PyObject* call_known(PyObject* self, PyObject* const* args, Py_ssize_t given) {
    return run_kernel(*((Known*)self)->kernel, args, given);
}

PyObject* call_making(PyObject* self, PyObject* const* args, Py_ssize_t given) {
    return ((Known*)self)->entry->run(args, given);
}

PyObject* the_module = nullptr;

List<Known*>& all_known() {
    static List<Known*> known;
    return known;
}

std::vector<EntrySlot> slots_of(const HostKernel& kernel) {
    std::vector<EntrySlot> slots;
    for (int i = 0; i < kernel.parameter_count; ++i) {
        const HostSlot& each = kernel.slots[i];
        slots.push_back({each.role, each.type, each.wide, each.form, each.of, Expression(each.count)});
    }
    return slots;
}

bool add(PyObject* module, const HostKernel& kernel) {
    const auto as_function = [](PyObject* (*f)(PyObject*, PyObject* const*, Py_ssize_t)) {
        return (PyCFunction)(void (*)(void))f;
    };
    static PyTypeObject type = {PyVarObject_HEAD_INIT(nullptr, 0)};
    if (!type.tp_name) {
        type.tp_name = "tensorlite_kernels.kernel";
        type.tp_basicsize = sizeof(Known);
        type.tp_flags = Py_TPFLAGS_DEFAULT;
        if (PyType_Ready(&type)) return false;
    }
    auto* known = new Known{PyObject(), &kernel,
                            {kernel.name, as_function(guarded<call_known>), METH_FASTCALL, kernel.signature},
                            {nullptr, as_function(guarded<call_making>), METH_FASTCALL, kernel.makes_outputs},
                            nullptr};  // for good, as the module
    all_known().push_back(known);
    PyObject* self = PyObject_Init((PyObject*)known, &type);
    const Ref function(PyCFunction_New(&known->definition, self));
    if (!function || PyObject_SetAttrString(module, kernel.name, function)) return false;
    if (!kernel.makes_outputs) return true;
    const Ref name(PyUnicode_FromFormat("new_%s", kernel.name));
    if (!name) return false;
    known->making_definition.ml_name = PyUnicode_AsUTF8(Py_NewRef(name));
    known->entry = new Entry(kernel, slots_of(kernel));
    const Ref making(PyCFunction_New(&known->making_definition, self));
    return making && !PyObject_SetAttr(module, name, making);
}

}  // namespace

PyObject* run_kernel(const HostKernel& kernel, PyObject* const* args, Py_ssize_t given) {
    return Call(kernel, args).run(given);
}

bool add_unit(PyObject* module, const Unit& unit) {
    the_module = module;
    for (const HostFamily* const* each = unit.families; *each; ++each)
        for (int i = 0; i < (*each)->count; ++i)
            if (!add(module, (*each)->kernels[i])) return false;
    for (PyMethodDef* const* const* each = unit.methods; *each; ++each)
        if (PyModule_AddFunctions(module, **each)) return false;
    return true;
}

bool load_unit(PyObject* module, const char* path) {
    void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);  // for good
    const auto* unit = library ? (const Unit*)dlsym(library, "tensorlite_unit") : nullptr;
    if (!unit) return PyErr_Format(PyExc_ImportError, "%s", dlerror()), false;
    return add_unit(module, *unit);
}

const HostKernel* host_kernel(const char* name) {
    for (int tries = 0; tries < 2; ++tries) {
        for (const Known* each : all_known())
            if (!std::strcmp(each->kernel->name, name)) return each->kernel;
        // It may be in a unit that is not loaded yet, which the module's __getattr__ does.
        const Ref function(PyObject_GetAttrString(the_module, name));
        if (!function) return nullptr;
    }
    PyErr_Format(PyExc_RuntimeError, "there is no kernel %s", name);
    return nullptr;
}

Body host_body(const char* name, Type type) {
    const HostKernel* kernel = host_kernel(name);
    for (int i = 0; kernel && i < kernel->instance_count; ++i)
        if (kernel->instances[i].types[0] == type) return kernel->instances[i].body;
    if (kernel) PyErr_Format(PyExc_TypeError, "%s has no version for %s", name, type_name(type));
    return nullptr;
}

}  // namespace tl
