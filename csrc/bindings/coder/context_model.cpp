#include "coder/context_model.hpp"

#include <algorithm>
#include <memory>

#include "bindings/arrays.hpp"
#include "bindings/coder/module.hpp"
#include "coder/face.hpp"

namespace lfic::bindings {
namespace {

constexpr std::size_t kMaxSymbols = std::size_t{1} << 28;  // of a face, unless a caller says otherwise

std::shared_ptr<ContextModel> make_model(const py::dict& arrays, std::shared_ptr<Tables> tables,
                                         const std::string& simd) {
    const auto get = [&](const char* name) -> py::object {
        if (!arrays.contains(name)) throw InvalidInput(std::string("the context model lacks ") + name);
        return arrays[name];
    };
    const auto integer = [&](const char* name) { return py::int_(get(name)).cast<int>(); };
    const auto shape = [&](const char* name, std::size_t axis) {
        const auto array = py::array::ensure(get(name));
        if (!array || static_cast<std::size_t>(array.ndim()) <= axis)
            throw InvalidInput(std::string(name) + " has too few axes");
        return static_cast<int>(array.shape(axis));
    };
    const auto read = [&](const char* name, auto& to) {
        to = to_vector<typename std::decay_t<decltype(to)>::value_type>(get(name), name);
    };
    ContextArrays a;
    const auto w2 = get("W2").cast<py::sequence>();
    a.groups = static_cast<int>(w2.size());
    a.hidden1 = shape("W1", 0);
    a.channels = shape("W1", 1) / 4;
    a.hidden2 = shape("b2", 1);
    a.scales = shape("table_map", 0) / 8;
    a.sh1 = integer("sh1");
    a.sh2 = integer("sh2");
    a.sh3 = integer("sh3");
    a.mshift = integer("mshift");
    read("W1", a.w1);
    read("B_level", a.b_level);
    read("B_quality", a.b_quality);
    read("B_avail", a.b_avail);
    read("B_pos", a.b_pos);
    for (const auto& w : w2) a.w2.push_back(to_vector<int16_t>(w, "W2"));
    read("b2", a.b2);
    read("W3", a.w3);
    read("b3", a.b3);
    read("vstep", a.vstep);
    read("mgain", a.mgain);
    read("sbias", a.sbias);
    read("active", a.active);
    read("table_map", a.table_map);
    read("level_prior", a.level_prior);
    return std::make_shared<ContextModel>(std::move(a), std::move(tables), simd_named(simd));
}

// A copy: levels say which cells exist, and another thread may write to the caller's array.
Array<uint8_t> levels_of(const ContextModel& model, const Grid& grid, const py::handle& levels) {
    model.check(grid);
    auto array = view<uint8_t>(levels, "levels");
    if (array.ndim() != 2 || array.shape(0) != grid.rows() || array.shape(1) != grid.columns())
        throw InvalidInput("levels must have shape [" + std::to_string(grid.rows()) + ", " +
                           std::to_string(grid.columns()) + "] for a grid of " + std::to_string(grid.height) + " x " +
                           std::to_string(grid.width));
    return py::reinterpret_steal<Array<uint8_t>>(copy_of(array).release());
}

// A face to write, and the arrays that it points to.
struct FaceArrays {
    Array<uint8_t> levels;
    Array<int16_t> symbols;
    Face face;

    FaceArrays(const ContextModel& model, const Grid& grid, const py::handle& given_symbols,
               const py::handle& given_levels, bool coded_levels)
        : levels(levels_of(model, grid, given_levels)),
          symbols(view<int16_t>(given_symbols, "symbols")),
          face{grid, levels.data(), symbols.data(), static_cast<std::size_t>(symbols.size()), coded_levels} {}
};

// [rows, columns] for a level map, once it is certain that the grid may be as large as it claims to be.
Array<uint8_t> room_for_levels(const ContextModel& model, const Grid& grid, std::size_t max_symbols) {
    check_bound(model, grid, max_symbols);
    return Array<uint8_t>({grid.rows(), grid.columns()});
}

// A face to read, the array that its levels go to and the bytes that it points to. Without levels they are coded.
struct StreamArrays {
    Array<uint8_t> levels;
    Held held;
    FaceStream stream;

    StreamArrays(const ContextModel& model, const Grid& grid, const py::handle& data, const py::handle& given_levels,
                 std::size_t max_symbols)
        : levels(room_for_levels(model, grid, max_symbols)),
          held(data),
          stream{grid, held.data(), held.size(), levels.mutable_data(), given_levels.is_none()} {
        if (stream.coded_levels) return;
        const auto given = levels_of(model, grid, given_levels);
        std::copy(given.data(), given.data() + given.size(), stream.levels);
    }
};

py::bytes encode(const ContextModel& model, const py::handle& symbols, const py::handle& levels, int h, int w,
                 int quality, bool aligned, bool coded_levels) {
    const FaceArrays arrays(model, {h, w, quality, aligned}, symbols, levels, coded_levels);
    Bytes out;
    {
        py::gil_scoped_release release;
        encode_face(model, arrays.face, out);
    }
    return to_bytes(out);
}

py::tuple decode(const ContextModel& model, const py::handle& data, int h, int w, int quality, bool aligned,
                 const py::handle& levels, std::size_t max_symbols) {
    const StreamArrays arrays(model, {h, w, quality, aligned}, data, levels, max_symbols);
    std::vector<int16_t> symbols;
    {
        py::gil_scoped_release release;
        symbols = decode_face(model, arrays.stream, max_symbols);
    }
    return py::make_tuple(to_array(symbols), arrays.levels);
}

// Only the level map at the head of a stream: uint8 [rows, columns].
Array<uint8_t> decode_levels(const ContextModel& model, const py::handle& data, int h, int w, int quality, bool aligned,
                             std::size_t max_symbols) {
    const StreamArrays arrays(model, {h, w, quality, aligned}, data, py::none(), max_symbols);
    decode_face_levels(model, arrays.stream);
    return arrays.levels;
}

py::tuple predict(const ContextModel& model, const py::handle& symbols, const py::handle& levels, int h, int w,
                  int quality, bool aligned) {
    const FaceArrays arrays(model, {h, w, quality, aligned}, symbols, levels, false);
    Array<int16_t> tables(arrays.symbols.size());
    Array<int32_t> means(arrays.symbols.size());
    int16_t* pt = tables.mutable_data();
    int32_t* pm = means.mutable_data();
    {
        py::gil_scoped_release release;
        predict_face(model, arrays.face, pt, pm);
    }
    return py::make_tuple(tables, means);
}

Array<float> cost(const ContextModel& model, const py::handle& symbols, const py::handle& levels, int h, int w,
                  int quality, bool aligned) {
    const FaceArrays arrays(model, {h, w, quality, aligned}, symbols, levels, false);
    Array<float> bits(arrays.symbols.size() / model.channels());
    float* pb = bits.mutable_data();
    {
        py::gil_scoped_release release;
        cost_face(model, arrays.face, pb);
    }
    return bits;
}

// The faces of a batch, each (symbols, levels, h, w, quality, aligned[, coded_levels]), and their arrays.
struct Faces {
    std::vector<FaceArrays> arrays;
    std::vector<Face> faces;

    Faces(const ContextModel& model, const py::sequence& sequence) {
        for (const auto& item : sequence) {
            const auto t = item.cast<py::tuple>();
            if (t.size() < 6 || t.size() > 7)
                throw InvalidInput("a face is (symbols, levels, h, w, quality, aligned[, coded_levels])");
            const Grid grid{t[2].cast<int>(), t[3].cast<int>(), t[4].cast<int>(), t[5].cast<bool>()};
            arrays.emplace_back(model, grid, t[0], t[1], t.size() == 7 && t[6].cast<bool>());
            faces.push_back(arrays.back().face);
        }
    }
};

py::list encode_batch(const ContextModel& model, const py::sequence& sequence, int threads) {
    const Faces batch(model, sequence);
    std::vector<Bytes> out;
    {
        py::gil_scoped_release release;
        out = encode_faces(model, batch.faces, threads);
    }
    py::list result;
    for (const auto& bytes : out) result.append(to_bytes(bytes));
    return result;
}

py::list cost_batch(const ContextModel& model, const py::sequence& sequence, int threads) {
    const Faces batch(model, sequence);
    std::vector<Array<float>> out;
    std::vector<float*> bits;
    for (const Face& face : batch.faces) {
        out.emplace_back(static_cast<py::ssize_t>(face.count / model.channels()));
        bits.push_back(out.back().mutable_data());
    }
    {
        py::gil_scoped_release release;
        cost_faces(model, batch.faces, threads, bits.data());
    }
    py::list result;
    for (auto& one : out) result.append(std::move(one));
    return result;
}

// Streams of a batch, each (data, h, w, quality, aligned, levels or None).
py::list decode_batch(const ContextModel& model, const py::sequence& sequence, int threads, std::size_t max_symbols) {
    std::vector<StreamArrays> arrays;
    std::vector<FaceStream> streams;
    for (const auto& item : sequence) {
        const auto t = item.cast<py::tuple>();
        if (t.size() != 6) throw InvalidInput("a stream is (data, h, w, quality, aligned, levels or None)");
        const Grid grid{t[1].cast<int>(), t[2].cast<int>(), t[3].cast<int>(), t[4].cast<bool>()};
        arrays.emplace_back(model, grid, t[0], t[5], max_symbols);
        streams.push_back(arrays.back().stream);
    }
    std::vector<std::vector<int16_t>> symbols;
    {
        py::gil_scoped_release release;
        symbols = decode_faces(model, streams, threads, max_symbols);
    }
    py::list result;
    for (std::size_t i = 0; i < symbols.size(); ++i)
        result.append(py::make_tuple(to_array(symbols[i]), arrays[i].levels));
    return result;
}

}  // namespace

void add_context_model(py::module_& m) {
    const auto h = py::arg("h"), w = py::arg("w"), quality = py::arg("quality"), symbols = py::arg("symbols"),
               levels = py::arg("levels"), data = py::arg("data");
    const auto aligned = py::arg("aligned") = false;
    const auto threads = py::arg("threads") = 1;
    const auto max_symbols = py::arg("max_symbols") = kMaxSymbols;
    py::class_<ContextModel, std::shared_ptr<ContextModel>>(m, "ContextModel")
        .def(py::init(&make_model), py::arg("arrays"), py::arg("tables"), py::arg("simd") = "auto")
        .def_property_readonly("channels", &ContextModel::channels)
        .def_property_readonly("simd", &ContextModel::simd)
        .def("encode", &encode, symbols, levels, h, w, quality, aligned, py::arg("coded_levels") = false)
        .def("decode", &decode, data, h, w, quality, aligned, py::arg("levels") = py::none(), max_symbols)
        .def("decode_levels", &decode_levels, data, h, w, quality, aligned, max_symbols)
        .def("predict", &predict, symbols, levels, h, w, quality, aligned)
        .def("cost", &cost, symbols, levels, h, w, quality, aligned)
        .def("encode_batch", &encode_batch, py::arg("faces"), threads)
        .def("cost_batch", &cost_batch, py::arg("faces"), threads)
        .def("decode_batch", &decode_batch, py::arg("streams"), threads, max_symbols);
}

}  // namespace lfic::bindings
