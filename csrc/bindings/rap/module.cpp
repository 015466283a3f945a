// lfic.kernels._rap: addresses in, nothing out. kernels/cpu.py holds the tensors, checks their shapes and types, and
// calls this.
#include <pybind11/pybind11.h>

#include <string>
#include <vector>

#include "common/errors.hpp"
#include "rap/cpu.hpp"

namespace py = pybind11;
using namespace lfic::rap;

namespace {

std::int64_t integer(PyObject* object) {
    const long long value = PyLong_AsLongLong(object);
    if (value == -1 && PyErr_Occurred()) throw py::error_already_set();
    return value;
}

// N integers of a tuple; read by hand, since pybind11's casters take as long as a small call does.
template <int N>
struct Integers {
    std::int64_t of[N];
    explicit Integers(const py::object& tuple) {
        if (!PyTuple_Check(tuple.ptr()) || PyTuple_GET_SIZE(tuple.ptr()) != N)
            throw lfic::InvalidInput("a tuple of " + std::to_string(N) + " integers is needed");
        for (int i = 0; i < N; ++i) of[i] = integer(PyTuple_GET_ITEM(tuple.ptr(), i));
    }
};

template <class T>
T* pointer(std::int64_t address) {
    return reinterpret_cast<T*>(static_cast<std::intptr_t>(address));
}

Float type_of(std::int64_t code) {
    if (code < 0 || code > 2)
        throw lfic::InvalidInput("type " + std::to_string(code) + "; allowed are 0 (fp32), 1 (fp16) and 2 (bf16)");
    return static_cast<Float>(code);
}

// (address, type, four strides) or None.
View view(const py::object& object) {
    if (object.is_none()) return {};
    const Integers<6> x{object};
    return {pointer<void>(x.of[0]), type_of(x.of[1]), x.of[2], x.of[3], x.of[4], x.of[5]};
}

// (N, C, h, w, levels, quality, rows of the tables or -1), checked. Levels and qualities, which say where memory is
// read and written, are copied first: the GIL is released while the work is done, and another thread may write to them.
struct OwnGrid {
    std::vector<std::uint8_t> levels;
    std::vector<std::int64_t> quality;
    Grid grid;

    explicit OwnGrid(const py::tuple& tuple) {
        const Integers<7> x{tuple};
        grid = {x.of[0], x.of[1], x.of[2], x.of[3], nullptr, nullptr};
        const auto* from = pointer<const std::uint8_t>(x.of[4]);
        levels.assign(from, from + grid.count * grid.rows() * grid.columns());
        grid.levels = levels.data();
        if (x.of[5]) {
            const auto* rows = pointer<const std::int64_t>(x.of[5]);
            quality.assign(rows, rows + grid.count);
            grid.quality = quality.data();
        }
        check(grid, x.of[6]);
    }
    OwnGrid(const OwnGrid&) = delete;  // grid points into the vectors
};

// (threads, portable)
Run run_of(const py::tuple& tuple) {
    const Integers<2> x{tuple};
    return {static_cast<int>(x.of[0]), x.of[1] != 0};
}

Noise noise_of(const py::object& given, std::int64_t seed, bool mixed = false) {
    return {view(given), pointer<const std::int64_t>(seed), mixed};
}

}  // namespace

PYBIND11_MODULE(_rap, m, py::mod_gil_not_used()) {
    m.doc() = "RAP and its inverse on the CPU, csrc/rap/cpu.hpp; addresses that are 0 are not given.";
    m.def("offsets", [](const py::tuple& grid, std::int64_t starts, std::int64_t counts) {
        const OwnGrid own{grid};
        const Grid& g = own.grid;
        const py::gil_scoped_release release;
        offsets(g, pointer<std::int32_t>(starts), pointer<std::int64_t>(counts));
    });
    m.def("quantize", [](const py::tuple& grid, const py::object& y, std::int64_t gain, std::int64_t indexes,
                         std::int64_t symbols, std::int64_t tables, std::int64_t counts, const py::tuple& run) {
        const OwnGrid own{grid};
        const Grid& g = own.grid;
        const View features = view(y);
        const Run r = run_of(run);
        const py::gil_scoped_release release;
        quantize(g, features, pointer<const float>(gain), pointer<const std::int16_t>(indexes),
                 pointer<std::int16_t>(symbols), pointer<std::int16_t>(tables), pointer<std::int64_t>(counts), r);
    });
    m.def("dense", [](const py::tuple& grid, const py::object& y, const py::object& noise, std::int64_t seed,
                      bool mixed, std::int64_t gain, std::int64_t step, std::int64_t type, std::int64_t features,
                      std::int64_t symbols, const py::tuple& run) {
        const OwnGrid own{grid};
        const Grid& g = own.grid;
        const View from = view(y);
        const Noise n = noise_of(noise, seed, mixed);
        const Float out = type_of(type);
        const Run r = run_of(run);
        const py::gil_scoped_release release;
        dense(g, from, n, pointer<const float>(gain), pointer<const float>(step), out, pointer<void>(features),
              pointer<void>(symbols), r);
    });
    m.def("dense_backward", [](const py::tuple& grid, const py::object& grad_features, const py::object& grad_symbols,
                               const py::object& y, const py::object& noise, std::int64_t seed, std::int64_t gain,
                               std::int64_t step, std::int64_t grad_y, std::int64_t to_gain, std::int64_t to_step,
                               const py::tuple& run) {
        const OwnGrid own{grid};
        const Grid& g = own.grid;
        const View at_features = view(grad_features), at_symbols = view(grad_symbols), from = view(y);
        const Noise n = noise_of(noise, seed);
        const Run r = run_of(run);
        const py::gil_scoped_release release;
        dense_backward(g, at_features, at_symbols, from, n, pointer<const float>(gain), pointer<const float>(step),
                       pointer<void>(grad_y), pointer<float>(to_gain), pointer<float>(to_step), r);
    });
    m.def("unpool", [](const py::tuple& grid, std::int64_t symbols, std::int64_t room, std::int64_t step,
                       std::int64_t type, std::int64_t features, const py::tuple& run) {
        const OwnGrid own{grid};
        const Grid& g = own.grid;
        const Float out = type_of(type);
        const Run r = run_of(run);
        const py::gil_scoped_release release;
        unpool(g, pointer<const std::int16_t>(symbols), room, pointer<const float>(step), out, pointer<void>(features),
               r);
    });
    m.def("unpool_backward", [](const py::tuple& grid, const py::object& grad, std::int64_t symbols, std::int64_t room,
                                std::int64_t to_step, const py::tuple& run) {
        const OwnGrid own{grid};
        const Grid& g = own.grid;
        const View from = view(grad);
        const Run r = run_of(run);
        const py::gil_scoped_release release;
        unpool_backward(g, from, pointer<const std::int16_t>(symbols), room, pointer<float>(to_step), r);
    });
}
