// Matrix products on CUDA by cuBLASLt, in one call: what tensorlite/backend/blas.py does, for arrays
// whose like it has seen. Descriptors and algorithm are made there, once for each combination of
// shapes, strides, dtype, device and alignment.
#define NO_IMPORT_ARRAY  // module.h does it
#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "host/cuda.h"

namespace tl {
namespace {

// What is multiplied; as in blas.py.
enum Form {
    kPlain,        // a @ b + bias
    kLinear,       // rows of a @ bᵀ + bias, in a's leading axes
    kTransposed,   // aᵀ @ b
    kWithSums,     // (rows of a)ᵀ @ rows of b, and into bias the sums of a's columns
    kWithRowSums,  // a @ b, and into bias the sums of a's rows
};

constexpr int kMostAxes = 8;

// A CuPy array with its layout.
struct Operand {
    CudaArray array;
    int axes = 0;
    Index shape[kMostAxes], strides[kMostAxes];

    bool read(PyObject* object) {
        if (!cuda().is_array(object)) return false;
        array = cuda().read(object);
        const Ref lengths = cuda().shape(object);
        axes = (int)PyTuple_GET_SIZE((PyObject*)lengths);
        if (axes > kMostAxes) return false;
        for (int i = 0; i < axes; ++i) shape[i] = PyLong_AsLongLong(PyTuple_GET_ITEM((PyObject*)lengths, i));
        const Ref steps = cuda().strides(object);
        for (int i = 0; i < axes; ++i) strides[i] = PyLong_AsLongLong(PyTuple_GET_ITEM((PyObject*)steps, i));
        return array.size > 0;
    }
    Index item() const { return array.type == F64 ? 8 : array.type == F32 ? 4 : 2; }
    uintptr_t low() const { return end(false); }
    uintptr_t high() const { return end(true) + item(); }
    bool overlaps(const Operand& other) const { return low() < other.high() && other.low() < high(); }

  private:
    uintptr_t end(bool last) const {
        uintptr_t address = array.address;
        for (int i = 0; i < axes; ++i)
            if ((strides[i] > 0) == last) address += (shape[i] - 1) * strides[i];
        return address;
    }
};

using Key = std::vector<long long>;

struct HashOfKey {
    size_t operator()(const Key& key) const {
        size_t hash = 1469598103934665603u;
        for (const long long part : key) hash = (hash ^ (size_t)part) * 1099511628211u;
        return hash;
    }
};

struct Offsets {
    long long a, b, out;
};

// A product that was made ready; without a descriptor it is left to Python.
struct Product {
    // cublasLtMatmul and cublasLtMatmulDescSetAttribute
    int (*matmul)(void*, void*, const void*, uintptr_t, void*, uintptr_t, void*, const void*, uintptr_t,
                  void*, uintptr_t, void*, const void*, uintptr_t, size_t, intptr_t) = nullptr;
    int (*set)(void*, int, const void*, size_t) = nullptr;
    void *handle = nullptr, *descriptor = nullptr, *left = nullptr, *right = nullptr, *out = nullptr;
    const void* algorithm = nullptr;
    size_t workspace = 0;
    int is_double = 0;
    std::vector<Offsets> offsets;  // in bytes
    Ref shape, kept;
    std::mutex mutex;  // the descriptor holds the pointers until the call has read them
};

class Products {
    PyObject *plan_ = nullptr, *workspace_ = nullptr, *error_ = nullptr;
    std::unordered_map<Key, std::shared_ptr<Product>, HashOfKey> known_;
    std::map<std::pair<int, intptr_t>, uintptr_t> workspaces_;
    Key key_;
    static constexpr int kSuccess = 0, kInvalidValue = 7, kNotSupported = 15;
    static constexpr int kBiasPointer = 8;      // CUBLASLT_MATMUL_DESC_BIAS_POINTER
    static constexpr intptr_t kPerThread = 2;  // each thread has a stream of its own under it
    static constexpr size_t kMost = 8192;
    static constexpr long long kAlignment = 256;  // which CuPy's memory has at least

  public:
    void use(PyObject* plan, PyObject* workspace, PyObject* error) {
        plan_ = Py_NewRef(plan), workspace_ = Py_NewRef(workspace), error_ = Py_NewRef(error);
    }

    void forget() { known_.clear(), workspaces_.clear(); }

    // The product, in `out` or a new array; NotImplemented where it is Python's to compute, or to
    // refuse. Null where an error is pending.
    Ref multiply(Form form, PyObject* a, PyObject* b, PyObject* bias, PyObject* out, bool accumulate) {
        Operand left, right, added, result;
        const bool has_bias = bias != Py_None, has_out = out != Py_None;
        if (!plan_ || (accumulate && !has_out) || !left.read(a) || !right.read(b) || (has_bias && !added.read(bias)) ||
            (has_out && !result.read(out)))
            return none();
        const Type type = left.array.type;
        const int device = left.array.device;
        if (type < F32 || type > BF16 || cuda().current_device() != device) return none();
        key_.clear();
        key_.push_back(form | accumulate << 3 | has_bias << 4 | has_out << 5 | device << 6);
        add_to_key(left), add_to_key(right);
        if (has_bias) add_to_key(added);
        if (has_out) {
            add_to_key(result);
            if (result.overlaps(left) || result.overlaps(right)) return none();
        }
        auto found = known_.find(key_);
        if (found == known_.end()) {
            Key key = key_;  // making it ready may multiply
            auto made = ready(form, a, b, bias, out, accumulate);
            if (!made) return Ref();
            if (known_.size() >= kMost) known_.clear();
            found = known_.emplace(std::move(key), std::move(made)).first;
        }
        const std::shared_ptr<Product> held = found->second;  // another thread may forget it
        Product& product = *held;
        if (!product.descriptor) return none();
        Ref y = has_out ? Ref::to(out) : cuda().empty(product.shape, cuda().dtype(a));
        if (!y) return y;
        const uintptr_t to = has_out ? result.array.address : cuda().read(y).address;
        if (!has_out && to % kAlignment) return none();
        intptr_t stream;
        uintptr_t scratch = 0;
        if (!cuda().stream(stream)) return Ref();
        if (product.workspace && !workspace(device, stream, scratch)) return Ref();
        const int status = run(product, left.array.address, right.array.address, to, accumulate, stream,
                               scratch, has_bias ? added.array.address : 0);
        if (status == kSuccess) return y;
        if (status == kInvalidValue || status == kNotSupported) {
            product.descriptor = nullptr;  // it cannot, whatever its heuristic said
            return none();
        }
        call(error_, Ref(PyLong_FromLong(status)), product.kept);
        return Ref();
    }

    static Ref none() { return PyErr_Occurred() ? Ref() : Ref::to(Py_NotImplemented); }

  private:
    void add_to_key(const Operand& x) {
        const uintptr_t lowest = x.array.address & -x.array.address;
        key_.push_back(x.axes | (long long)x.array.type << 8 | (long long)x.array.device << 16);
        key_.push_back(std::min<uintptr_t>(lowest, kAlignment));
        key_.insert(key_.end(), x.shape, x.shape + x.axes);
        key_.insert(key_.end(), x.strides, x.strides + x.axes);
    }

    std::shared_ptr<Product> ready(Form form, PyObject* a, PyObject* b, PyObject* bias, PyObject* out,
                                   bool accumulate) {
        const Ref which(PyLong_FromLong(form)), adds(PyBool_FromLong(accumulate));
        const Ref plan = call(plan_, which, a, b, bias, out, adds);
        auto made = std::make_shared<Product>();
        if (!plan) return nullptr;
        if (plan.is_none()) return made;
        PyObject *shape, *offsets, *kept;
        if (!PyArg_ParseTuple(plan, "nnnnnnnnnpOO!O", &made->matmul, &made->set, &made->handle, &made->descriptor, &made->left,
                              &made->right, &made->out, &made->algorithm, &made->workspace,
                              &made->is_double, &shape, &PyTuple_Type, &offsets, &kept))
            return nullptr;
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(offsets); ++i) {
            Offsets each;
            if (!PyArg_ParseTuple(PyTuple_GET_ITEM(offsets, i), "LLL", &each.a, &each.b, &each.out))
                return nullptr;
            made->offsets.push_back(each);
        }
        made->shape = Ref::to(shape), made->kept = Ref::to(kept);
        return made;
    }

    bool workspace(int device, intptr_t stream, uintptr_t& address) {
        const auto found = workspaces_.find({device, stream});
        if (found != workspaces_.end()) return address = found->second, true;
        const Ref on(PyLong_FromLong(device)), queue(PyLong_FromSsize_t(stream));
        const Ref memory = call(workspace_, on, queue);
        if (!memory) return false;
        address = PyLong_AsSize_t(memory);
        if (stream != kPerThread) workspaces_[{device, stream}] = address;
        return !PyErr_Occurred();
    }

    // The operands are swapped, as cuBLASLt thinks in columns; see `Product` in cublaslt.py.
    int run(Product& p, uintptr_t a, uintptr_t b, uintptr_t to, bool accumulate, intptr_t stream,
            uintptr_t scratch, uintptr_t bias) const {
        static const float one = 1, zero = 0;
        static const double one_double = 1, zero_double = 0;
        const void* alpha = p.is_double ? (const void*)&one_double : &one;
        const void* beta = accumulate     ? alpha
                           : p.is_double ? (const void*)&zero_double
                                          : &zero;
        int status = kSuccess;
        Py_BEGIN_ALLOW_THREADS;
        {
            const std::lock_guard<std::mutex> lock(p.mutex);
            if (bias) status = p.set(p.descriptor, kBiasPointer, &bias, sizeof(bias));
            for (const Offsets& start : p.offsets)
                if (status == kSuccess)
                    status = p.matmul(p.handle, p.descriptor, alpha, b + start.b, p.left, a + start.a,
                                     p.right, beta, to + start.out, p.out, to + start.out, p.out,
                                     p.algorithm, scratch, p.workspace, stream);
        }
        Py_END_ALLOW_THREADS;
        return status;
    }
};

Products& products() {
    static Products& known = *new Products;  // what it holds outlives the interpreter
    return known;
}

// An array to put a result of arrays like `like` in, if it can be: of the same dtype, or float32 for
// what is short. None, and a new one is made.
PyObject* room(PyObject* out, PyObject* like) {
    if (!cuda().is_array(out)) return Py_None;
    const Type to = cuda().read(out).type, from = cuda().read(like).type;
    return to == from || (to == F32 && (from == F16 || from == BF16)) ? out : Py_None;
}

// Such an array, or a new one of this dtype.
Ref room_or_new(PyObject* out, PyObject* dtype, std::initializer_list<PyObject*> lengths) {
    if (out != Py_None && cuda().dtype(out) == dtype) return Ref::to(out);
    const Ref shape(PyTuple_New((Py_ssize_t)lengths.size()));
    Py_ssize_t i = 0;
    for (PyObject* length : lengths)
        if (shape) PyTuple_SET_ITEM((PyObject*)shape, i++, Py_NewRef(length));
    return shape ? cuda().empty(shape, dtype) : Ref();
}

// The length of the last axis; null where there is none.
Ref last_length(PyObject* array) {
    const Ref shape = cuda().shape(array);
    const Py_ssize_t axes = PyTuple_GET_SIZE((PyObject*)shape);
    return axes ? Ref::to(PyTuple_GET_ITEM((PyObject*)shape, axes - 1)) : Ref();
}

}  // namespace

// use_products(plan, workspace, error): functions of blas.py
PyObject* py_use_products(PyObject*, PyObject* const* args, Py_ssize_t given) {
    if (given != 3) return PyErr_Format(PyExc_TypeError, "use_products(plan, workspace, error)");
    products().use(args[0], args[1], args[2]);
    Py_RETURN_NONE;
}

PyObject* py_forget_products(PyObject*, PyObject*) {
    products().forget();
    Py_RETURN_NONE;
}

// cuda_product(form, a, b, bias, out, accumulate)
PyObject* py_cuda_product(PyObject*, PyObject* const* args, Py_ssize_t given) {
    const long form = given == 6 ? PyLong_AsLong(args[0]) : -1;
    if (form < kPlain || form > kWithRowSums)
        return PyErr_Format(PyExc_TypeError, "cuda_product(form, a, b, bias, out, accumulate)");
    return products().multiply((Form)form, args[1], args[2], args[3], args[4], args[5] == Py_True).release();
}

// The next four take what the primitives of these names take (ops/linalg.py, linear.py).
PyObject* py_cuda_matmul(PyObject*, PyObject* const* args, Py_ssize_t given) {
    if (given != 2) return PyErr_Format(PyExc_TypeError, "matmul(a, b)");
    return products().multiply(kPlain, args[0], args[1], Py_None, Py_None, false).release();
}

PyObject* py_cuda_linear(PyObject*, PyObject* const* args, Py_ssize_t given) {
    if (given != 3) return PyErr_Format(PyExc_TypeError, "linear(x, weight, bias)");
    return products().multiply(kLinear, args[0], args[1], args[2], Py_None, false).release();
}

PyObject* py_cuda_weight_gradient(PyObject*, PyObject* const* args, Py_ssize_t given) {
    if (given != 3) return PyErr_Format(PyExc_TypeError, "weight_gradient(dy, x, into)");
    return products().multiply(kTransposed, args[0], args[1], Py_None, room(args[2], args[0]), false).release();
}

PyObject* py_cuda_affine_gradients(PyObject*, PyObject* const* args, Py_ssize_t given) {
    if (given != 6)
        return PyErr_Format(PyExc_TypeError, "affine_gradients(dy, x, weight, out, dweight, dbias)");
    PyObject *dy = args[0], *x = args[1], *weight = args[2];
    if (args[3] != Py_None || !cuda().is_array(dy) || !cuda().is_array(x)) Py_RETURN_NOTIMPLEMENTED;
    PyObject *weight_room = room(args[4], dy), *bias_room = room(args[5], dy);
    const Ref rows = last_length(dy), columns = last_length(x);
    if (!rows || !columns) Py_RETURN_NOTIMPLEMENTED;
    // One call writes both, in one dtype: unrounded, if one of them is to be.
    const Ref dtype =
        cuda().dtype(weight_room != Py_None ? weight_room : bias_room != Py_None ? bias_room : dy);
    const Ref dbias = room_or_new(bias_room, dtype, {rows});
    const Ref into = dbias ? room_or_new(weight_room, dtype, {rows, columns}) : Ref();
    const Ref dweight = into ? products().multiply(kWithSums, dy, x, dbias, into, false) : Ref();
    if (!dweight || dweight == Py_NotImplemented) return Py_XNewRef(dweight);
    if (weight == Py_None) return PyTuple_Pack(2, (PyObject*)dweight, (PyObject*)dbias);
    const Ref dx = products().multiply(kPlain, dy, weight, Py_None, Py_None, false);
    if (!dx || dx == Py_NotImplemented) return Py_XNewRef(dx);
    return PyTuple_Pack(3, (PyObject*)dx, (PyObject*)dweight, (PyObject*)dbias);
}

static PyMethodDef table_of_products[] = {
    TL_METHOD("use_products", py_use_products, "use_products(plan, workspace, error)"),
    TL_METHOD("cuda_product", py_cuda_product, "cuda_product(form, a, b, bias, out, accumulate)"),
    TL_METHOD("cuda_matmul", py_cuda_matmul, "cuda_matmul(a, b)"),
    TL_METHOD("cuda_linear", py_cuda_linear, "cuda_linear(x, weight, bias)"),
    TL_METHOD("cuda_weight_gradient", py_cuda_weight_gradient, "cuda_weight_gradient(dy, x, into)"),
    TL_METHOD("cuda_affine_gradients", py_cuda_affine_gradients, "cuda_affine_gradients(dy, x, weight, out, dweight, dbias)"),
    {"forget_products", py_forget_products, METH_NOARGS, "forget_products()"},
    {nullptr, nullptr, 0, nullptr},
};
extern PyMethodDef* const products_methods;
PyMethodDef* const products_methods = table_of_products;

}  // namespace tl
