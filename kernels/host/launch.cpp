// Launching kernels on CUDA: what CudaKernel of tensorlite/backend/kernels/cuda.py does, in its ordinary case.
#define NO_IMPORT_ARRAY  // module.h does it
#include <algorithm>
#include <map>
#include <vector>

#include "host/cuda.h"
#include "host/declaration.h"

namespace tl {
namespace {

PyObject* watcher = nullptr;  // called before each launch, see `watch_launches`

enum Scalar { kFloat, kDouble, kIndex, kInt, kBits, kBool };

struct Parameter {
    bool is_array, is_heads, is_optional, is_wide;  // wide: of type Acc<T>
    int type;                                       // of a scalar: Scalar; of an array: Type
    int choice;                                     // the type parameter, or -1
    std::vector<Expression> counts;
};

struct Instance {
    void* function;
    Index processors;
};

// Of cuda.py's LAUNCH_LAYOUT, in this order.
struct LaunchLayout {
    long long threads, waves, warp, held, widest, held_double, widest_double, resident, teams;
};

class Kernel {
    std::vector<Parameter> parameters_;
    std::vector<int> order_;  // arrays of type Acc<T> after those that say what T is
    std::vector<unsigned> allowed_;  // of each type parameter, a bit per type
    std::vector<Expression> extents_;
    char launch_;  // the first letter of EACH, ROWS, BLOCKS, TOGETHER
    LaunchLayout layout_;
    int shared_;  // bytes of shared memory, besides the kernel's own
    PyObject *load_, *fallback_, *name_;
    std::map<std::pair<int, unsigned>, Instance> instances_;
    static constexpr int kMost = 40, kMostChoices = 4;

    // By value, as `Heads` of types.h.
    struct HeadsValue {
        uintptr_t data;
        long long batch_stride, head_stride, row_stride, heads;
    };
    union Value {
        float real32;
        double real64;
        long long integer;
        int integer32;
        uint64_t bits;
        bool truth;
        uintptr_t address;
        HeadsValue heads;
    };

  public:
    PyMethodDef definition;

    bool read(PyObject* name, PyObject* doc, PyObject* parameters, PyObject* order, PyObject* allowed,
              PyObject* extents, PyObject* launch, PyObject* layout, PyObject* shared,
              PyObject* load, PyObject* fallback) {
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(parameters); ++i) {
            Parameter p;
            PyObject* counts;
            int is_array, is_heads, is_optional, is_wide;
            if (!PyArg_ParseTuple(PyTuple_GET_ITEM(parameters, i), "ppppiiO!", &is_array, &is_heads,
                                  &is_optional, &is_wide, &p.type, &p.choice, &PyTuple_Type, &counts))
                return false;
            p.is_array = is_array, p.is_heads = is_heads;
            p.is_optional = is_optional, p.is_wide = is_wide;
            if (!read_all(p.counts, counts)) return false;
            parameters_.push_back(std::move(p));
        }
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(order); ++i)
            order_.push_back((int)PyLong_AsLong(PyTuple_GET_ITEM(order, i)));
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(allowed); ++i)
            allowed_.push_back((unsigned)PyLong_AsUnsignedLong(PyTuple_GET_ITEM(allowed, i)));
        for (Py_ssize_t i = 0; i < 9; ++i)
            ((long long*)&layout_)[i] = PyLong_AsLongLong(PyTuple_GET_ITEM(layout, i));
        launch_ = PyUnicode_AsUTF8(launch)[0], shared_ = (int)PyLong_AsLong(shared);
        name_ = Py_NewRef(name), load_ = Py_NewRef(load), fallback_ = Py_NewRef(fallback);
        Py_INCREF(doc);
        definition = {PyUnicode_AsUTF8(name), nullptr, METH_FASTCALL, PyUnicode_AsUTF8(doc)};
        return read_all(extents_, extents) && !PyErr_Occurred() && parameters_.size() <= kMost &&
               allowed_.size() <= kMostChoices;
    }

    // What is not plainly right is left to the call in Python, which does it or says what is wrong.
    PyObject* run(PyObject* const* args, Py_ssize_t given) {
        if (watcher) {
            const Ref all(PyTuple_New(given));
            for (Py_ssize_t i = 0; all && i < given; ++i) PyTuple_SET_ITEM((PyObject*)all, i, Py_NewRef(args[i]));
            if (!all || !call(watcher, name_, all)) return nullptr;
        }
        Value values[kMost];
        Index grid;
        int threads, teams, shared, device;
        unsigned choice;
        if (!understand(args, given, values, grid, threads, teams, shared, device, choice))
            return PyErr_Occurred() ? nullptr : PyObject_Vectorcall(fallback_, args, given, nullptr);
        if (!grid) Py_RETURN_NONE;
        auto found = instances_.find({device, choice});
        if (found == instances_.end()) {
            const Ref numbers(Py_BuildValue("(iI)", device, choice));
            const Ref loaded(numbers ? PyObject_CallObject(load_, numbers) : nullptr);
            Instance instance;
            if (!loaded || !PyArg_ParseTuple(loaded, "nL", (Py_ssize_t*)&instance.function,
                                             (long long*)&instance.processors))
                return nullptr;
            found = instances_.emplace(std::make_pair(device, choice), instance).first;
        }
        const Index most = launch_ == 'E'   ? layout_.waves * found->second.processors
                           : launch_ == 'R' ? layout_.resident / (threads * teams) * found->second.processors
                                            : grid;
        void* pointers[kMost];
        for (Py_ssize_t i = 0; i < given; ++i) pointers[i] = &values[i];
        if (!cuda().launch(found->second.function, grid < most ? grid : most, threads, teams, shared,
                           launch_ == 'T', pointers))
            return nullptr;
        Py_RETURN_NONE;
    }

  private:
    static bool read_all(std::vector<Expression>& to, PyObject* from) {
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(from); ++i) {
            to.emplace_back();
            if (!to.back().read(PyTuple_GET_ITEM(from, i))) return false;
        }
        return true;
    }

    bool understand(PyObject* const* args, Py_ssize_t given, Value* values, Index& grid, int& threads,
                    int& teams, int& shared, int& device, unsigned& choice) const {
        if (given != (Py_ssize_t)parameters_.size()) return false;
        Index scalars[kMost], sizes[kMost];
        for (Py_ssize_t i = 0; i < given; ++i)
            if (!parameters_[i].is_array && !scalar(parameters_[i].type, args[i], values[i], scalars[i]))
                return false;
        int types[kMostChoices] = {};
        device = -1;
        for (const int i : order_) {
            const Parameter& p = parameters_[i];
            if (!p.is_array) continue;
            sizes[i] = -1;
            if (args[i] == Py_None && p.is_optional) {
                values[i].address = 0;
                continue;
            }
            if (!cuda().is_array(args[i])) return false;
            const CudaArray array = cuda().read(args[i]);
            if (device >= 0 && array.device != device) return false;
            device = array.device;
            int wanted = p.type;
            if (p.choice >= 0) {
                int& chosen = types[p.choice];
                if (!chosen) chosen = array.type;
                if (!(allowed_[p.choice] >> chosen & 1)) return false;
                wanted = !p.is_wide ? chosen : chosen == F64 ? F64 : F32;
            }
            const Index item = item_size(array.type);
            if (array.type != wanted || array.address % item) return false;
            sizes[i] = array.size;
            if (!p.is_heads) {
                if (!cuda().is_contiguous(args[i])) return false;
                values[i].address = array.address;
            } else if (!heads(p, args[i], array, item, scalars, values[i].heads)) {
                return false;
            }
        }
        if (device < 0 || cuda().current_device() != device) return false;
        for (Py_ssize_t i = 0; i < given; ++i) {
            const Parameter& p = parameters_[i];
            if (p.is_array && !p.is_heads && sizes[i] >= 0 && sizes[i] != p.counts[0].of(scalars))
                return false;
        }
        bool is_double = false;
        choice = 0;
        for (size_t j = 0; j < allowed_.size(); ++j) {
            const int type = types[j] ? types[j] : F32;
            is_double |= type == F64;
            choice |= unsigned(type) << 4 * j;
        }
        shape(scalars, is_double, grid, threads, teams);
        shared = launch_ == 'T' ? (int)extents_[2].of(scalars) : shared_;
        return !PyErr_Occurred();
    }

    // Blocks if there were enough processors, and the shape of each: as `_shape` in cuda.py.
    void shape(const Index* scalars, bool is_double, Index& grid, int& threads, int& teams) const {
        const LaunchLayout& g = layout_;
        const Index count = std::max<Index>(extents_[0].of(scalars), 0);
        teams = 1;
        if (launch_ == 'B' || launch_ == 'T') {
            grid = count, threads = (int)extents_[1].of(scalars);
        } else if (launch_ == 'E') {
            grid = (count + g.threads - 1) / g.threads, threads = (int)g.threads;
        } else {
            const Index held = (is_double ? g.held_double : g.held) * g.warp;
            const Index widest = is_double ? g.widest_double : g.widest;
            const Index lanes = (extents_[1].of(scalars) + held - 1) / held * g.warp;
            threads = (int)std::max<Index>(g.warp, std::min(lanes, widest));
            teams = threads == g.warp ? (int)g.teams : 1;
            grid = (count + teams - 1) / teams;
        }
    }

    static bool heads(const Parameter& p, PyObject* object, const CudaArray& array, Index item,
                      const Index* scalars, HeadsValue& value) {
        const Ref shape = cuda().shape(object), strides = cuda().strides(object);
        if (!shape || !strides || PyTuple_GET_SIZE((PyObject*)shape) != 4) return false;
        long long lengths[4], steps[4];
        for (int i = 0; i < 4; ++i) {
            lengths[i] = PyLong_AsLongLong(PyTuple_GET_ITEM((PyObject*)shape, i));
            steps[i] = PyLong_AsLongLong(PyTuple_GET_ITEM((PyObject*)strides, i));
            if (steps[i] % item || lengths[i] != p.counts[i].of(scalars)) return false;
        }
        if (steps[3] != item && lengths[3] > 1 && array.size) return false;
        value = {array.address, steps[0] / item, steps[1] / item, steps[2] / item, lengths[1]};
        return true;
    }

    static bool scalar(int type, PyObject* object, Value& value, Index& integer) {
        integer = 0;
        if (type == kFloat || type == kDouble) {
            if (!PyFloat_Check(object) && !PyLong_CheckExact(object)) return false;
            const double real = PyFloat_AsDouble(object);
            if (real == -1 && PyErr_Occurred()) return PyErr_Clear(), false;
            if (type == kFloat)
                value.real32 = (float)real;
            else
                value.real64 = real;
            return true;
        }
        if (type == kBool) {
            if (!PyBool_Check(object)) return false;
            value.truth = object == Py_True;
            return true;
        }
        if (!PyLong_Check(object)) return false;
        if (type == kBits) {
            value.bits = PyLong_AsUnsignedLongLong(object);
        } else {
            integer = value.integer = PyLong_AsLongLong(object);
            if (type == kInt && value.integer != (int)value.integer) return false;
            if (type == kInt) value.integer32 = (int)integer;
        }
        return PyErr_Occurred() ? PyErr_Clear(), false : true;
    }
};

PyObject* run_kernel(PyObject* self, PyObject* const* args, Py_ssize_t given) {
    return ((Kernel*)PyCapsule_GetPointer(self, nullptr))->run(args, given);
}

}  // namespace

// cuda_kernel(name, doc, parameters, order, allowed, extents, launch, layout, shared, load, fallback): the
// kernel as a function; None where its declaration is beyond what is understood here.
PyObject* py_cuda_kernel(PyObject*, PyObject* const* args, Py_ssize_t given) {
    if (given != 11 || !PyUnicode_Check(args[0]) || !PyUnicode_Check(args[1]) || !PyTuple_Check(args[2]))
        return PyErr_Format(PyExc_TypeError,
                            "cuda_kernel(name, doc, parameters, order, allowed, extents, launch, "
                            "layout, shared, load, fallback)");
    auto* made = new Kernel;  // kept for good, as the library is
    const bool read = made->read(args[0], args[1], args[2], args[3], args[4], args[5], args[6], args[7],
                                 args[8], args[9], args[10]);
    if (PyErr_Occurred()) return nullptr;
    if (!read) Py_RETURN_NONE;
    made->definition.ml_meth = (PyCFunction)(void (*)(void))guarded<run_kernel>;
    const Ref capsule(PyCapsule_New(made, nullptr, nullptr));
    return capsule ? PyCFunction_New(&made->definition, capsule) : nullptr;
}

// watch_launches(function): call it with the name and the arguments before each launch; None stops.
PyObject* py_watch_launches(PyObject*, PyObject* function) {
    Py_XDECREF(std::exchange(watcher, function == Py_None ? nullptr : Py_NewRef(function)));
    Py_RETURN_NONE;
}

static PyMethodDef table_of_launch[] = {
    TL_METHOD("cuda_kernel", py_cuda_kernel, "cuda_kernel(name, doc, parameters, order, allowed, extents, launch, layout, load, fallback)"),
    {"watch_launches", py_watch_launches, METH_O, "watch_launches(function)"},
    {nullptr, nullptr, 0, nullptr},
};
extern PyMethodDef* const launch_methods;
PyMethodDef* const launch_methods = table_of_launch;

}  // namespace tl
