// numpy in, bytes out: checks of dtype and shape, the GIL, exceptions. Nothing else lives here.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "stream.hpp"

namespace py = pybind11;
using namespace lfic;

namespace {

template <class T>
using Array = py::array_t<T, py::array::c_style>;

[[noreturn]] void invalid(const std::string& text) { throw InvalidInput(text); }

// A C-contiguous view of `object` with exactly this dtype: non-contiguous input is copied, another dtype is refused.
template <class T>
Array<T> view(const py::handle& object, const char* name) {
    if (!py::isinstance<py::array>(object)) {
        if (!PyObject_CheckBuffer(object.ptr()))
            invalid(std::string(name) + " is a " + std::string(py::str(py::type::of(object).attr("__name__"))) + "; a numpy array or a buffer is needed");
        return view<T>(py::module_::import("numpy").attr("asarray")(object), name);
    }
    const auto array = py::reinterpret_borrow<py::array>(object);
    if (!array.dtype().is(py::dtype::of<T>()) && !array.dtype().equal(py::dtype::of<T>()))
        invalid(std::string(name) + " has dtype " + std::string(py::str(array.dtype())) + "; needed is " + std::string(py::str(py::dtype::of<T>())));
    return Array<T>::ensure(object);
}

// int16 and int32 symbols are taken as they are; the coder works on int32.
Array<int32_t> as_int32(const py::handle& object, const char* name) {
    if (py::isinstance<py::array>(object)) {
        const auto array = py::reinterpret_borrow<py::array>(object);
        if (array.dtype().equal(py::dtype::of<int16_t>()) || array.dtype().equal(py::dtype::of<uint8_t>()) || array.dtype().equal(py::dtype::of<int8_t>()))
            return py::array_t<int32_t, py::array::c_style | py::array::forcecast>::ensure(object);
    }
    return view<int32_t>(object, name);
}

struct Span {
    const uint8_t* data;
    std::size_t size;
};

Span span_of(const py::buffer_info& info) {
    if (info.ndim != 1 || info.itemsize != 1 || (info.size > 0 && info.strides[0] != 1)) invalid("data is not a contiguous run of bytes");
    return {static_cast<const uint8_t*>(info.ptr), static_cast<std::size_t>(info.size)};
}

py::bytes to_bytes(const Bytes& bytes) { return py::bytes(reinterpret_cast<const char*>(bytes.data()), bytes.size()); }

template <class T>
std::vector<T> to_vector(const py::handle& object, const char* name) {
    const auto array = view<T>(object, name);
    return std::vector<T>(array.data(), array.data() + array.size());
}

std::shared_ptr<Tables> make_tables(const py::object& lows, const py::object& starts, const py::object& frequencies) {
    return std::make_shared<Tables>(to_vector<int32_t>(lows, "lows"), to_vector<int64_t>(starts, "starts"), to_vector<uint16_t>(frequencies, "frequencies"));
}

py::bytes encode(const py::object& symbols, const py::object& indexes, const Tables& tables) {
    const auto s = as_int32(symbols, "symbols"), i = as_int32(indexes, "indexes");
    if (s.size() != i.size()) invalid("there are " + std::to_string(s.size()) + " symbols and " + std::to_string(i.size()) + " indexes");
    thread_local Bytes out;
    out.clear();
    const int32_t *ps = s.data(), *pi = i.data();
    const std::size_t n = s.size();
    {
        py::gil_scoped_release release;
        encode_stream(tables, ps, pi, n, out);
    }
    return to_bytes(out);
}

Array<int32_t> decode(const py::buffer& data, const py::object& indexes, const Tables& tables) {
    const auto i = as_int32(indexes, "indexes");
    const auto info = data.request();
    const Span span = span_of(info);
    Array<int32_t> out(i.size());
    const int32_t* pi = i.data();
    int32_t* po = out.mutable_data();
    const std::size_t n = i.size();
    {
        py::gil_scoped_release release;
        decode_stream(tables, span.data, span.size, pi, n, po);
    }
    return out;
}

py::list encode_batch(const py::sequence& symbols, const py::sequence& indexes, const Tables& tables, int threads) {
    if (symbols.size() != indexes.size()) invalid("there are " + std::to_string(symbols.size()) + " symbol arrays and " + std::to_string(indexes.size()) + " index arrays");
    std::vector<Array<int32_t>> s, x;
    for (std::size_t k = 0; k < symbols.size(); ++k) {
        s.push_back(as_int32(symbols[k], "symbols"));
        x.push_back(as_int32(indexes[k], "indexes"));
        if (s[k].size() != x[k].size()) invalid("stream " + std::to_string(k) + " has " + std::to_string(s[k].size()) + " symbols and " + std::to_string(x[k].size()) + " indexes");
    }
    std::vector<Bytes> out(s.size());
    {
        std::vector<const int32_t*> ps, px;
        std::vector<std::size_t> n;
        for (std::size_t k = 0; k < s.size(); ++k) {
            ps.push_back(s[k].data());
            px.push_back(x[k].data());
            n.push_back(s[k].size());
        }
        py::gil_scoped_release release;
        parallel(n.size(), threads, [&](std::size_t k) { encode_stream(tables, ps[k], px[k], n[k], out[k]); });
    }
    py::list result;
    for (const auto& bytes : out) result.append(to_bytes(bytes));
    return result;
}

py::list decode_batch(const py::sequence& blobs, const py::sequence& indexes, const Tables& tables, int threads) {
    if (blobs.size() != indexes.size()) invalid("there are " + std::to_string(blobs.size()) + " streams and " + std::to_string(indexes.size()) + " index arrays");
    std::vector<py::buffer_info> infos;
    std::vector<Array<int32_t>> x, out;
    std::vector<Span> spans;
    std::vector<const int32_t*> px;
    std::vector<int32_t*> po;
    for (std::size_t k = 0; k < blobs.size(); ++k) {
        infos.push_back(py::reinterpret_borrow<py::buffer>(blobs[k]).request());
        spans.push_back(span_of(infos[k]));
        x.push_back(as_int32(indexes[k], "indexes"));
        out.emplace_back(x[k].size());
        px.push_back(x[k].data());
        po.push_back(out[k].mutable_data());
    }
    std::vector<std::size_t> n;
    for (const auto& a : x) n.push_back(a.size());
    {
        py::gil_scoped_release release;
        parallel(n.size(), threads, [&](std::size_t k) { decode_stream(tables, spans[k].data, spans[k].size, px[k], n[k], po[k]); });
    }
    py::list result;
    for (auto& a : out) result.append(std::move(a));
    return result;
}

// ---------------------------------------------------------------------------------------------- streaming classes

struct PyEncoder {
    Bytes out;
    RangeEncoder coder{out};
    EscapeCoder escape;
    bool done = false;
    void open() const {
        if (done) invalid("the encoder is finished; start a new one");
    }
};

struct PyDecoder {
    Bytes data;
    RangeDecoder coder;
    EscapeCoder escape;
    explicit PyDecoder(Bytes bytes) : data(std::move(bytes)), coder(data.data(), data.size()) {}
};

uint32_t probability(int p1) {
    if (p1 < 1 || p1 > 65535) invalid("p1 is " + std::to_string(p1) + "; allowed are 1 to 65535");
    return static_cast<uint32_t>(p1);
}

int bit_count(int count) {
    if (count < 0 || count > 16) invalid("count is " + std::to_string(count) + "; allowed are 0 to 16");
    return count;
}

// ------------------------------------------------------------------------------------------------- context model

std::shared_ptr<ContextModel> make_model(const py::dict& arrays, std::shared_ptr<Tables> tables, const std::string& simd) {
    auto get = [&](const char* name) -> py::object {
        if (!arrays.contains(name)) invalid(std::string("the context model lacks ") + name);
        return arrays[name];
    };
    auto integer = [&](const char* name) { return py::int_(get(name)).cast<int>(); };
    auto shape = [&](const char* name, std::size_t axis) {
        const auto array = py::array::ensure(get(name));
        if (!array || static_cast<std::size_t>(array.ndim()) <= axis) invalid(std::string(name) + " has too few axes");
        return static_cast<int>(array.shape(axis));
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
    a.w1 = to_vector<int16_t>(get("W1"), "W1");
    a.b_level = to_vector<int32_t>(get("B_level"), "B_level");
    a.b_quality = to_vector<int32_t>(get("B_quality"), "B_quality");
    a.b_avail = to_vector<int32_t>(get("B_avail"), "B_avail");
    a.b_pos = to_vector<int32_t>(get("B_pos"), "B_pos");
    for (const auto& w : w2) a.w2.push_back(to_vector<int16_t>(w, "W2"));
    a.b2 = to_vector<int32_t>(get("b2"), "b2");
    a.w3 = to_vector<int16_t>(get("W3"), "W3");
    a.b3 = to_vector<int32_t>(get("b3"), "b3");
    a.vstep = to_vector<int16_t>(get("vstep"), "vstep");
    a.mgain = to_vector<int32_t>(get("mgain"), "mgain");
    a.sbias = to_vector<int32_t>(get("sbias"), "sbias");
    a.active = to_vector<uint8_t>(get("active"), "active");
    a.table_map = to_vector<int32_t>(get("table_map"), "table_map");
    a.level_prior = to_vector<uint16_t>(get("level_prior"), "level_prior");
    const Simd level = simd == "auto" ? Simd::automatic : simd == "scalar" ? Simd::scalar : simd == "avx2" ? Simd::avx2 : simd == "neon" ? Simd::neon : throw InvalidInput("simd is '" + simd + "'; allowed are auto, scalar, avx2, neon");
    return std::make_shared<ContextModel>(std::move(a), std::move(tables), level);
}

Grid make_grid(int h, int w, int quality, bool aligned) { return Grid{h, w, quality, aligned}; }

Array<uint8_t> check_levels(const ContextModel& model, const Grid& grid, const py::object& levels) {
    model.check(grid);
    auto array = view<uint8_t>(levels, "levels");
    if (array.ndim() != 2 || array.shape(0) != grid.rows() || array.shape(1) != grid.columns())
        invalid("levels must have shape [" + std::to_string(grid.rows()) + ", " + std::to_string(grid.columns()) + "] for a grid of " + std::to_string(grid.height) + " x " + std::to_string(grid.width));
    return array;
}

py::bytes model_encode(const ContextModel& model, const py::object& symbols, const py::object& levels, int h, int w, int quality, bool aligned, bool coded_levels) {
    const Grid grid = make_grid(h, w, quality, aligned);
    const auto l = check_levels(model, grid, levels);
    const auto s = view<int16_t>(symbols, "symbols");
    const uint8_t* pl = l.data();
    const int16_t* ps = s.data();
    const std::size_t n = s.size();
    Bytes out;
    {
        py::gil_scoped_release release;
        encode_face(model, grid, pl, coded_levels, ps, n, out);
    }
    return to_bytes(out);
}

py::tuple model_decode(const ContextModel& model, const py::buffer& data, int h, int w, int quality, bool aligned, const py::object& levels, std::size_t max_symbols) {
    const Grid grid = make_grid(h, w, quality, aligned);
    model.check(grid);
    if (static_cast<std::size_t>(h) * w * model.channels() > max_symbols)
        invalid("the grid holds up to " + std::to_string(static_cast<std::size_t>(h) * w * model.channels()) + " symbols; allowed are " + std::to_string(max_symbols));
    const bool coded = levels.is_none();
    Array<uint8_t> map({grid.rows(), grid.columns()});
    if (!coded) {
        const auto given = check_levels(model, grid, levels);
        std::copy(given.data(), given.data() + given.size(), map.mutable_data());
    }
    const auto info = data.request();
    const Span span = span_of(info);
    uint8_t* pm = map.mutable_data();
    std::vector<int16_t> symbols;
    {
        py::gil_scoped_release release;
        symbols = decode_face(model, grid, pm, coded, span.data, span.size, max_symbols);
    }
    return py::make_tuple(Array<int16_t>(symbols.size(), symbols.data()), map);
}

// Only the level map at the head of a stream: uint8 [rows, columns].
Array<uint8_t> model_decode_levels(const ContextModel& model, const py::buffer& data, int h, int w, int quality, bool aligned) {
    const Grid grid = make_grid(h, w, quality, aligned);
    model.check(grid);
    const auto info = data.request();
    const Span span = span_of(info);
    Array<uint8_t> map({grid.rows(), grid.columns()});
    RangeDecoder coder(span.data, span.size);
    model.decode_levels(coder, grid, map.mutable_data());
    return map;
}

py::tuple model_predict(const ContextModel& model, const py::object& symbols, const py::object& levels, int h, int w, int quality, bool aligned) {
    const Grid grid = make_grid(h, w, quality, aligned);
    const auto l = check_levels(model, grid, levels);
    const auto s = view<int16_t>(symbols, "symbols");
    Array<int16_t> tables(s.size());
    Array<int32_t> means(s.size());
    const uint8_t* pl = l.data();
    const int16_t* ps = s.data();
    int16_t* pt = tables.mutable_data();
    int32_t* pm = means.mutable_data();
    const std::size_t n = s.size();
    {
        py::gil_scoped_release release;
        predict_face(model, grid, pl, ps, n, pt, pm);
    }
    return py::make_tuple(tables, means);
}

Array<float> model_cost(const ContextModel& model, const py::object& symbols, const py::object& levels, int h, int w, int quality, bool aligned) {
    const Grid grid = make_grid(h, w, quality, aligned);
    const auto l = check_levels(model, grid, levels);
    const auto s = view<int16_t>(symbols, "symbols");
    Array<float> bits(s.size() / model.channels());
    const uint8_t* pl = l.data();
    const int16_t* ps = s.data();
    float* pb = bits.mutable_data();
    const std::size_t n = s.size();
    {
        py::gil_scoped_release release;
        cost_face(model, grid, pl, ps, n, pb);
    }
    return bits;
}

// Faces of a batch, each (symbols, levels, h, w, quality, aligned, coded_levels).
struct Face {
    Grid grid;
    Array<uint8_t> levels;
    Array<int16_t> symbols;
    bool coded;
};

std::vector<Face> faces_of(const ContextModel& model, const py::sequence& faces) {
    std::vector<Face> out;
    for (const auto& item : faces) {
        const auto t = item.cast<py::tuple>();
        if (t.size() < 6 || t.size() > 7) invalid("a face is (symbols, levels, h, w, quality, aligned[, coded_levels])");
        const Grid grid = make_grid(t[2].cast<int>(), t[3].cast<int>(), t[4].cast<int>(), t[5].cast<bool>());
        out.push_back({grid, check_levels(model, grid, t[1]), view<int16_t>(t[0], "symbols"), t.size() == 7 && t[6].cast<bool>()});
    }
    return out;
}

py::list model_encode_batch(const ContextModel& model, const py::sequence& sequence, int threads) {
    const auto faces = faces_of(model, sequence);
    std::vector<Bytes> out(faces.size());
    {
        py::gil_scoped_release release;
        parallel(faces.size(), threads, [&](std::size_t i) {
            encode_face(model, faces[i].grid, faces[i].levels.data(), faces[i].coded, faces[i].symbols.data(), faces[i].symbols.size(), out[i]);
        });
    }
    py::list result;
    for (const auto& bytes : out) result.append(to_bytes(bytes));
    return result;
}

py::list model_cost_batch(const ContextModel& model, const py::sequence& sequence, int threads) {
    const auto faces = faces_of(model, sequence);
    std::vector<Array<float>> out;
    std::vector<float*> po;
    for (const auto& face : faces) {
        out.emplace_back(face.symbols.size() / model.channels());
        po.push_back(out.back().mutable_data());
    }
    {
        py::gil_scoped_release release;
        parallel(faces.size(), threads, [&](std::size_t i) {
            cost_face(model, faces[i].grid, faces[i].levels.data(), faces[i].symbols.data(), faces[i].symbols.size(), po[i]);
        });
    }
    py::list result;
    for (auto& a : out) result.append(std::move(a));
    return result;
}

// Streams of a batch, each (data, h, w, quality, aligned, levels or None).
py::list model_decode_batch(const ContextModel& model, const py::sequence& sequence, int threads, std::size_t max_symbols) {
    struct Item {
        Grid grid;
        py::buffer_info info;
        Span span;
        Array<uint8_t> levels;
        uint8_t* map;
        bool coded;
    };
    std::vector<Item> items;
    for (const auto& entry : sequence) {
        const auto t = entry.cast<py::tuple>();
        if (t.size() != 6) invalid("a stream is (data, h, w, quality, aligned, levels or None)");
        const Grid grid = make_grid(t[1].cast<int>(), t[2].cast<int>(), t[3].cast<int>(), t[4].cast<bool>());
        model.check(grid);
        if (static_cast<std::size_t>(grid.height) * grid.width * model.channels() > max_symbols) invalid("a grid of the batch holds more than " + std::to_string(max_symbols) + " symbols");
        Array<uint8_t> map({grid.rows(), grid.columns()});
        const bool coded = t[5].is_none();
        if (!coded) {
            const auto given = check_levels(model, grid, t[5]);
            std::copy(given.data(), given.data() + given.size(), map.mutable_data());
        }
        auto info = t[0].cast<py::buffer>().request();
        const Span span = span_of(info);
        uint8_t* pm = map.mutable_data();
        items.push_back({grid, std::move(info), span, std::move(map), pm, coded});
    }
    std::vector<std::vector<int16_t>> out(items.size());
    {
        py::gil_scoped_release release;
        parallel(items.size(), threads, [&](std::size_t i) {
            const Item& item = items[i];
            out[i] = decode_face(model, item.grid, item.map, item.coded, item.span.data, item.span.size, max_symbols);
        });
    }
    py::list result;
    for (std::size_t i = 0; i < items.size(); ++i) result.append(py::make_tuple(Array<int16_t>(out[i].size(), out[i].data()), items[i].levels));
    return result;
}

}  // namespace

PYBIND11_MODULE(_coder, m, py::mod_gil_not_used()) {
    m.doc() = "Entropy coder of lfic; use it through lfic.coder.";

    py::register_exception_translator([](std::exception_ptr p) {
        if (!p) return;
        auto raise = [](const char* name, const std::exception& e) {
            const auto type = py::module_::import("lfic.errors").attr(name);
            PyErr_SetString(type.ptr(), e.what());
        };
        try {
            std::rethrow_exception(p);
        } catch (const CorruptStream& e) {
            raise("CorruptStreamError", e);
        } catch (const InvalidInput& e) {
            raise("InvalidInputError", e);
        }
    });

    py::class_<Tables, std::shared_ptr<Tables>>(m, "Tables")
        .def(py::init(&make_tables), py::arg("lows"), py::arg("starts"), py::arg("frequencies"))
        .def("__len__", &Tables::count)
        .def_property_readonly("lows", [](const Tables& t) { return Array<int32_t>(t.lows().size(), t.lows().data()); })
        .def_property_readonly("starts", [](const Tables& t) { return Array<int64_t>(t.starts().size(), t.starts().data()); })
        .def_property_readonly("frequencies", [](const Tables& t) { return Array<uint16_t>(t.frequencies().size(), t.frequencies().data()); });

    m.def("encode", &encode, py::arg("symbols"), py::arg("indexes"), py::arg("tables"));
    m.def("decode", &decode, py::arg("data"), py::arg("indexes"), py::arg("tables"));
    m.def("encode_batch", &encode_batch, py::arg("symbols"), py::arg("indexes"), py::arg("tables"), py::arg("threads") = 1);
    m.def("decode_batch", &decode_batch, py::arg("data"), py::arg("indexes"), py::arg("tables"), py::arg("threads") = 1);

    py::class_<AdaptiveBit>(m, "AdaptiveBit")
        .def(py::init([](int p1) { return AdaptiveBit::from(static_cast<uint16_t>(probability(p1))); }), py::arg("p1") = 32768)
        .def_property_readonly("p1", &AdaptiveBit::p1);

    py::class_<PyEncoder>(m, "RangeEncoder")
        .def(py::init<>())
        .def("encode", [](PyEncoder& e, const py::object& symbols, const py::object& indexes, const Tables& tables) {
            e.open();
            const auto s = as_int32(symbols, "symbols"), i = as_int32(indexes, "indexes");
            if (s.size() != i.size()) invalid("there are " + std::to_string(s.size()) + " symbols and " + std::to_string(i.size()) + " indexes");
            for (py::ssize_t k = 0; k < s.size(); ++k) {
                const uint32_t index = static_cast<uint32_t>(i.data()[k]);
                if (index >= tables.count()) invalid("indexes[" + std::to_string(k) + "] is " + std::to_string(i.data()[k]) + "; allowed are 0 to " + std::to_string(tables.count() - 1));
            }
            for (py::ssize_t k = 0; k < s.size(); ++k) tables.encode(e.coder, e.escape, i.data()[k], s.data()[k]);
        }, py::arg("symbols"), py::arg("indexes"), py::arg("tables"))
        .def("encode_bit", [](PyEncoder& e, bool bit, int p1) { e.open(); e.coder.encode_bit(bit, probability(p1)); }, py::arg("bit"), py::arg("p1") = 32768)
        .def("encode_adaptive", [](PyEncoder& e, bool bit, AdaptiveBit& state) { e.open(); e.coder.encode_bit(bit, state.p1()); state.update(bit); }, py::arg("bit"), py::arg("state"))
        .def("encode_bypass", [](PyEncoder& e, uint32_t value, int count) {
            e.open();
            if (value >> bit_count(count)) invalid("value " + std::to_string(value) + " does not fit " + std::to_string(count) + " bits");
            e.coder.encode_bypass(value, count);
        }, py::arg("value"), py::arg("count"))
        .def("finish", [](PyEncoder& e) { e.open(); e.done = true; e.coder.finish(); return to_bytes(e.out); });

    py::class_<PyDecoder>(m, "RangeDecoder")
        .def(py::init([](const py::buffer& data) {
            const auto info = data.request();
            const Span span = span_of(info);
            return std::make_unique<PyDecoder>(Bytes(span.data, span.data + span.size));
        }), py::arg("data"))
        .def("decode", [](PyDecoder& d, const py::object& indexes, const Tables& tables) {
            const auto i = as_int32(indexes, "indexes");
            for (py::ssize_t k = 0; k < i.size(); ++k)
                if (static_cast<uint32_t>(i.data()[k]) >= tables.count()) invalid("indexes[" + std::to_string(k) + "] is " + std::to_string(i.data()[k]) + "; allowed are 0 to " + std::to_string(tables.count() - 1));
            Array<int32_t> out(i.size());
            for (py::ssize_t k = 0; k < i.size(); ++k) out.mutable_data()[k] = tables.decode(d.coder, d.escape, i.data()[k]);
            return out;
        }, py::arg("indexes"), py::arg("tables"))
        .def("decode_bit", [](PyDecoder& d, int p1) { return d.coder.decode_bit(probability(p1)); }, py::arg("p1") = 32768)
        .def("decode_adaptive", [](PyDecoder& d, AdaptiveBit& state) { const bool bit = d.coder.decode_bit(state.p1()); state.update(bit); return bit; }, py::arg("state"))
        .def("decode_bypass", [](PyDecoder& d, int count) { return d.coder.decode_bypass(bit_count(count)); }, py::arg("count"))
        .def_property_readonly("position", [](const PyDecoder& d) { return d.coder.position(); })
        .def("check_end", [](const PyDecoder& d) { d.coder.check_end(); });

    py::class_<ContextModel, std::shared_ptr<ContextModel>>(m, "ContextModel")
        .def(py::init(&make_model), py::arg("arrays"), py::arg("tables"), py::arg("simd") = "auto")
        .def_property_readonly("channels", &ContextModel::channels)
        .def("encode", &model_encode, py::arg("symbols"), py::arg("levels"), py::arg("h"), py::arg("w"), py::arg("quality"), py::arg("aligned") = false, py::arg("coded_levels") = false)
        .def("decode", &model_decode, py::arg("data"), py::arg("h"), py::arg("w"), py::arg("quality"), py::arg("aligned") = false, py::arg("levels") = py::none(), py::arg("max_symbols") = std::size_t{1} << 28)
        .def("decode_levels", &model_decode_levels, py::arg("data"), py::arg("h"), py::arg("w"), py::arg("quality"), py::arg("aligned") = false)
        .def("predict", &model_predict, py::arg("symbols"), py::arg("levels"), py::arg("h"), py::arg("w"), py::arg("quality"), py::arg("aligned") = false)
        .def("cost", &model_cost, py::arg("symbols"), py::arg("levels"), py::arg("h"), py::arg("w"), py::arg("quality"), py::arg("aligned") = false)
        .def("encode_batch", &model_encode_batch, py::arg("faces"), py::arg("threads") = 1)
        .def("cost_batch", &model_cost_batch, py::arg("faces"), py::arg("threads") = 1)
        .def("decode_batch", &model_decode_batch, py::arg("streams"), py::arg("threads") = 1, py::arg("max_symbols") = std::size_t{1} << 28);
}
