// numpy in, bytes out: checks of dtype and shape, the GIL, exceptions. Nothing else lives here.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "coder/stream.hpp"

namespace py = pybind11;
using namespace lfic;

namespace {

template <class T>
using Array = py::array_t<T, py::array::c_style>;

[[noreturn]] void invalid(const std::string& text) {
    throw InvalidInput(text);
}

std::string text_of(const py::handle& object) {
    return py::str(object);
}
std::string type_name(const py::handle& object) {
    return text_of(py::type::of(object).attr("__name__"));
}

// An ndarray as it is, numpy's view of any other buffer; anything else is refused.
py::array as_array(const py::handle& object, const char* name) {
    if (py::isinstance<py::array>(object)) return py::reinterpret_borrow<py::array>(object);
    if (!PyObject_CheckBuffer(object.ptr()))
        invalid(std::string(name) + " is a " + type_name(object) + "; a numpy array or a buffer is needed");
    return py::module_::import("numpy").attr("asarray")(object);
}

// Whether an array holds native T. Read from the descriptor itself: comparing dtype objects costs half a microsecond.
template <class T>
bool holds(const py::array& array) {
    const auto* dtype = py::detail::array_descriptor_proxy(py::detail::array_proxy(array.ptr())->descr);
    const char kind = std::is_floating_point_v<T> ? 'f' : std::is_signed_v<T> ? 'i' : 'u';
    return dtype->kind == kind && array.itemsize() == static_cast<py::ssize_t>(sizeof(T)) &&
           (dtype->byteorder == '=' || dtype->byteorder == '|');
}

py::array contiguous(const py::array& array) {
    return array.flags() & py::array::c_style ? array : py::array::ensure(array, py::array::c_style);
}

// A C-contiguous view of `object` with exactly this dtype: non-contiguous input is copied, another dtype is refused.
template <class T>
Array<T> view(const py::handle& object, const char* name) {
    const py::array array = as_array(object, name);
    if (!holds<T>(array))
        invalid(std::string(name) + " has dtype " + text_of(array.dtype()) + "; needed is " +
                text_of(py::dtype::of<T>()));
    return py::reinterpret_borrow<Array<T>>(contiguous(array));
}

// One-dimensional integers in the width that they come in; copied only where they are not contiguous.
struct Integers {
    py::array array;
    enum Kind { u8, i16, i32 } kind;
    const void* data;
    std::size_t size;

    // axes: how many it must have; 0 allows any.
    Integers(const py::handle& object, const char* name, bool narrow, int axes = 1) : array(as_array(object, name)) {
        if (holds<int32_t>(array))
            kind = i32;
        else if (holds<int16_t>(array))
            kind = i16;
        else if (narrow && holds<uint8_t>(array))
            kind = u8;
        else
            invalid(std::string(name) + " has dtype " + text_of(array.dtype()) + "; allowed are " +
                    (narrow ? "uint8, " : "") + "int16 and int32");
        if (axes && array.ndim() != axes)
            invalid(std::string(name) + " has " + std::to_string(array.ndim()) + " axes; needed is " +
                    std::to_string(axes));
        array = contiguous(array);
        data = array.data();
        size = static_cast<std::size_t>(array.size());
    }
};
Integers symbols_of(const py::handle& object) {
    return {object, "symbols", false};
}
Integers indexes_of(const py::handle& object) {
    return {object, "indexes", true};
}

void expect_equal(std::size_t symbols, std::size_t indexes, const std::string& where = "") {
    if (symbols != indexes)
        invalid(where + "there are " + std::to_string(symbols) + " symbols and " + std::to_string(indexes) +
                " indexes");
}

// f(pointer to the integers, typed)
template <class F>
void with_symbols(const Integers& s, F&& f) {
    s.kind == Integers::i16 ? f(static_cast<const int16_t*>(s.data)) : f(static_cast<const int32_t*>(s.data));
}
template <class F>
void with_indexes(const Integers& x, F&& f) {
    if (x.kind == Integers::u8)
        f(static_cast<const uint8_t*>(x.data));
    else if (x.kind == Integers::i16)
        f(static_cast<const int16_t*>(x.data));
    else
        f(static_cast<const int32_t*>(x.data));
}

// Room for a stream of so many symbols at 4 bits each: more grows.
std::size_t room(std::size_t symbols) {
    return symbols / 2 + 64;
}

void encode_any(const Tables& tables, const Integers& s, const Integers& x, Bytes& out) {
    out.reserve(room(s.size));
    with_symbols(s, [&](const auto* ps) {
        with_indexes(x, [&](const auto* px) { encode_stream(tables, ps, px, s.size, out); });
    });
}

struct Span {
    const uint8_t* data;
    std::size_t size;
};

py::bytes to_bytes(const Bytes& bytes) {
    return py::bytes(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

template <class T>
std::vector<T> to_vector(const py::handle& object, const char* name) {
    const auto array = view<T>(object, name);
    return std::vector<T>(array.data(), array.data() + array.size());
}

std::shared_ptr<Tables> make_tables(const py::object& lows, const py::object& starts, const py::object& frequencies) {
    return std::make_shared<Tables>(to_vector<int32_t>(lows, "lows"), to_vector<int64_t>(starts, "starts"),
                                    to_vector<uint16_t>(frequencies, "frequencies"));
}

// Letting go of the GIL and taking it again costs more than coding a few symbols.
constexpr std::size_t kReleaseFrom = 512;

template <class F>
void without_gil(std::size_t work, F&& f) {
    if (work < kReleaseFrom) return f();
    py::gil_scoped_release release;
    f();
}

py::bytes encode(const py::handle& symbols, const py::handle& indexes, const Tables& tables) {
    const Integers s = symbols_of(symbols), x = indexes_of(indexes);
    expect_equal(s.size, x.size);
    Bytes out;
    without_gil(s.size, [&] { encode_any(tables, s, x, out); });
    return to_bytes(out);
}

// A contiguous run of bytes, held until this goes out of scope.
struct Held {
    Py_buffer buffer;
    Span span;
    explicit Held(const py::handle& object) {
        if (PyObject_GetBuffer(object.ptr(), &buffer, PyBUF_SIMPLE)) {
            PyErr_Clear();
            invalid("data is a " + type_name(object) + "; bytes, or a contiguous buffer, are needed");
        }
        span = {static_cast<const uint8_t*>(buffer.buf), static_cast<std::size_t>(buffer.len)};
    }
    Held(Held&& other) noexcept : buffer(other.buffer), span(other.span) { other.buffer.obj = nullptr; }
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;
    ~Held() {
        if (buffer.obj) PyBuffer_Release(&buffer);
    }
};

Array<int32_t> decode(const py::handle& data, const py::handle& indexes, const Tables& tables) {
    const Integers x = indexes_of(indexes);
    const Held held(data);
    Array<int32_t> out(static_cast<py::ssize_t>(x.size));
    int32_t* po = out.mutable_data();
    without_gil(x.size, [&] {
        with_indexes(x, [&](const auto* px) { decode_stream(tables, held.span.data, held.span.size, px, x.size, po); });
    });
    return out;
}

py::list encode_batch(const py::sequence& symbols, const py::sequence& indexes, const Tables& tables, int threads) {
    if (symbols.size() != indexes.size())
        invalid("there are " + std::to_string(symbols.size()) + " symbol arrays and " + std::to_string(indexes.size()) +
                " index arrays");
    std::vector<Integers> s, x;
    for (std::size_t k = 0; k < symbols.size(); ++k) {
        s.push_back(symbols_of(symbols[k]));
        x.push_back(indexes_of(indexes[k]));
        expect_equal(s[k].size, x[k].size, "stream " + std::to_string(k) + ": ");
    }
    std::vector<Bytes> out(s.size());
    {
        py::gil_scoped_release release;
        parallel(s.size(), threads, [&](std::size_t k) { encode_any(tables, s[k], x[k], out[k]); });
    }
    py::list result(out.size());
    for (std::size_t k = 0; k < out.size(); ++k) result[k] = to_bytes(out[k]);
    return result;
}

py::list decode_batch(const py::sequence& blobs, const py::sequence& indexes, const Tables& tables, int threads) {
    if (blobs.size() != indexes.size())
        invalid("there are " + std::to_string(blobs.size()) + " streams and " + std::to_string(indexes.size()) +
                " index arrays");
    std::vector<Held> held;
    std::vector<Integers> x;
    std::vector<Array<int32_t>> out;
    std::vector<int32_t*> po;
    bool mixed = false;
    for (std::size_t k = 0; k < blobs.size(); ++k) {
        held.emplace_back(blobs[k]);
        x.push_back(indexes_of(indexes[k]));
        out.emplace_back(static_cast<py::ssize_t>(x[k].size));
        po.push_back(out[k].mutable_data());
        mixed |= x[k].kind != x[0].kind;
    }
    if (mixed)
        for (auto& one : x) one = indexes_of(Array<int32_t>::ensure(one.array));
    if (!x.empty())
        with_indexes(x[0], [&](const auto* first) {
            using Index = std::remove_const_t<std::remove_pointer_t<decltype(first)>>;
            std::vector<Lane<Index>> streams;
            for (std::size_t k = 0; k < x.size(); ++k)
                streams.push_back(
                    {held[k].span.data, held[k].span.size, static_cast<const Index*>(x[k].data), x[k].size, po[k]});
            py::gil_scoped_release release;
            decode_streams(tables, streams.data(), streams.size(), threads);
        });
    py::list result(out.size());
    for (std::size_t k = 0; k < out.size(); ++k) result[k] = std::move(out[k]);
    return result;
}

// symbols [N, n], indexes [N, n] or [n] -> the N streams behind each other, and where each begins: int64 [N + 1].
py::tuple encode_packed(const py::handle& symbols, const py::handle& indexes, const Tables& tables, int threads) {
    const Integers s(symbols, "symbols", false, 2);
    const Integers x(indexes, "indexes", true, 0);
    const std::size_t count = s.array.shape(0), length = s.array.shape(1);
    const bool shared = x.array.ndim() == 1;
    if (x.size != (shared ? length : s.size) ||
        (!shared && (x.array.ndim() != 2 || x.array.shape(0) != s.array.shape(0))))
        invalid("indexes must have the shape of symbols, [" + std::to_string(count) + ", " + std::to_string(length) +
                "], or [" + std::to_string(length) + "]");
    std::vector<Bytes> out(count);
    Array<int64_t> offsets(static_cast<py::ssize_t>(count + 1));
    int64_t* po = offsets.mutable_data();
    {
        py::gil_scoped_release release;
        with_symbols(s, [&](const auto* ps) {
            with_indexes(x, [&](const auto* px) {
                parallel(count, threads, [&](std::size_t k) {
                    out[k].reserve(room(length));
                    encode_stream(tables, ps + k * length, px + (shared ? 0 : k * length), length, out[k]);
                });
            });
        });
        po[0] = 0;
        for (std::size_t k = 0; k < count; ++k) po[k + 1] = po[k] + static_cast<int64_t>(out[k].size());
    }
    Array<uint8_t> buffer(static_cast<py::ssize_t>(po[count]));
    for (std::size_t k = 0; k < count; ++k) std::copy(out[k].begin(), out[k].end(), buffer.mutable_data() + po[k]);
    return py::make_tuple(buffer, offsets);
}

// The inverse: int32 [N, n].
Array<int32_t> decode_packed(const py::handle& data, const py::handle& offsets, const py::handle& indexes,
                             const Tables& tables, int threads) {
    const Held held(data);
    const auto o = view<int64_t>(offsets, "offsets");
    if (o.ndim() != 1 || o.size() < 1) invalid("offsets must have shape [streams + 1]");
    const std::size_t count = o.size() - 1;
    const int64_t* po = o.data();
    for (std::size_t k = 0; k <= count; ++k)
        if (po[k] < (k ? po[k - 1] : 0) || po[k] > static_cast<int64_t>(held.span.size))
            invalid("offsets[" + std::to_string(k) + "] is " + std::to_string(po[k]) +
                    "; allowed are ascending places in 0 to " + std::to_string(held.span.size));
    const Integers x(indexes, "indexes", true, 0);
    const bool shared = x.array.ndim() == 1;
    if (!shared && (x.array.ndim() != 2 || x.array.shape(0) != static_cast<py::ssize_t>(count)))
        invalid("indexes must have shape [" + std::to_string(count) + ", symbols] or [symbols]");
    const std::size_t length = shared ? x.size : static_cast<std::size_t>(x.array.shape(1));
    Array<int32_t> out({static_cast<py::ssize_t>(count), static_cast<py::ssize_t>(length)});
    int32_t* ps = out.mutable_data();
    {
        py::gil_scoped_release release;
        with_indexes(x, [&](const auto* px) {
            std::vector<Lane<std::remove_const_t<std::remove_pointer_t<decltype(px)>>>> streams;
            streams.reserve(count);
            for (std::size_t k = 0; k < count; ++k)
                streams.push_back({held.span.data + po[k], static_cast<std::size_t>(po[k + 1] - po[k]),
                                   px + (shared ? 0 : k * length), length, ps + k * length});
            decode_streams(tables, streams.data(), count, threads);
        });
    }
    return out;
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

// Adaptive bits by context.
struct AdaptiveBits {
    std::vector<AdaptiveBit> states;
    template <class Index>
    void check(const Index* contexts, std::size_t count) const {
        for (std::size_t i = 0; i < count; ++i)
            if (static_cast<uint32_t>(contexts[i]) >= states.size())
                invalid("contexts[" + std::to_string(i) + "] is " + std::to_string(contexts[i]) +
                        "; allowed are 0 to " + std::to_string(states.size() - 1));
    }
};

int bit_count(int count) {
    if (count < 0 || count > 16) invalid("count is " + std::to_string(count) + "; allowed are 0 to 16");
    return count;
}

// ------------------------------------------------------------------------------------------------- context model

std::shared_ptr<ContextModel> make_model(const py::dict& arrays, std::shared_ptr<Tables> tables,
                                         const std::string& simd) {
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
    const Simd level = simd == "auto"     ? Simd::automatic
                       : simd == "scalar" ? Simd::scalar
                       : simd == "avx2"   ? Simd::avx2
                       : simd == "neon"
                           ? Simd::neon
                           : throw InvalidInput("simd is '" + simd + "'; allowed are auto, scalar, avx2, neon");
    return std::make_shared<ContextModel>(std::move(a), std::move(tables), level);
}

Grid make_grid(int h, int w, int quality, bool aligned) {
    return Grid{h, w, quality, aligned};
}

// Before memory is taken for what a header claims.
void check_bound(const ContextModel& model, const Grid& grid, std::size_t max_symbols) {
    model.check(grid);
    const std::size_t bound = static_cast<std::size_t>(grid.height) * grid.width * model.channels();
    if (bound > max_symbols)
        invalid("the grid holds up to " + std::to_string(bound) + " symbols; max_symbols allows " +
                std::to_string(max_symbols));
}

Array<uint8_t> check_levels(const ContextModel& model, const Grid& grid, const py::object& levels) {
    model.check(grid);
    auto array = view<uint8_t>(levels, "levels");
    if (array.ndim() != 2 || array.shape(0) != grid.rows() || array.shape(1) != grid.columns())
        invalid("levels must have shape [" + std::to_string(grid.rows()) + ", " + std::to_string(grid.columns()) +
                "] for a grid of " + std::to_string(grid.height) + " x " + std::to_string(grid.width));
    return array;
}

py::bytes model_encode(const ContextModel& model, const py::object& symbols, const py::object& levels, int h, int w,
                       int quality, bool aligned, bool coded_levels) {
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

py::tuple model_decode(const ContextModel& model, const py::handle& data, int h, int w, int quality, bool aligned,
                       const py::object& levels, std::size_t max_symbols) {
    const Grid grid = make_grid(h, w, quality, aligned);
    check_bound(model, grid, max_symbols);
    const bool coded = levels.is_none();
    Array<uint8_t> map({grid.rows(), grid.columns()});
    if (!coded) {
        const auto given = check_levels(model, grid, levels);
        std::copy(given.data(), given.data() + given.size(), map.mutable_data());
    }
    const Held held(data);
    const Span span = held.span;
    uint8_t* pm = map.mutable_data();
    std::vector<int16_t> symbols;
    {
        py::gil_scoped_release release;
        symbols = decode_face(model, grid, pm, coded, span.data, span.size, max_symbols);
    }
    return py::make_tuple(Array<int16_t>(symbols.size(), symbols.data()), map);
}

// Only the level map at the head of a stream: uint8 [rows, columns].
Array<uint8_t> model_decode_levels(const ContextModel& model, const py::handle& data, int h, int w, int quality,
                                   bool aligned, std::size_t max_symbols) {
    const Grid grid = make_grid(h, w, quality, aligned);
    check_bound(model, grid, max_symbols);
    const Held held(data);
    const Span span = held.span;
    Array<uint8_t> map({grid.rows(), grid.columns()});
    RangeDecoder coder(span.data, span.size);
    model.decode_levels(coder, grid, map.mutable_data());
    return map;
}

py::tuple model_predict(const ContextModel& model, const py::object& symbols, const py::object& levels, int h, int w,
                        int quality, bool aligned) {
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

Array<float> model_cost(const ContextModel& model, const py::object& symbols, const py::object& levels, int h, int w,
                        int quality, bool aligned) {
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
        if (t.size() < 6 || t.size() > 7)
            invalid("a face is (symbols, levels, h, w, quality, aligned[, coded_levels])");
        const Grid grid = make_grid(t[2].cast<int>(), t[3].cast<int>(), t[4].cast<int>(), t[5].cast<bool>());
        out.push_back({grid, check_levels(model, grid, t[1]), view<int16_t>(t[0], "symbols"),
                       t.size() == 7 && t[6].cast<bool>()});
    }
    return out;
}

py::list model_encode_batch(const ContextModel& model, const py::sequence& sequence, int threads) {
    const auto faces = faces_of(model, sequence);
    std::vector<Bytes> out(faces.size());
    {
        py::gil_scoped_release release;
        parallel(faces.size(), threads, [&](std::size_t i) {
            encode_face(model, faces[i].grid, faces[i].levels.data(), faces[i].coded, faces[i].symbols.data(),
                        faces[i].symbols.size(), out[i]);
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
            cost_face(model, faces[i].grid, faces[i].levels.data(), faces[i].symbols.data(), faces[i].symbols.size(),
                      po[i]);
        });
    }
    py::list result;
    for (auto& a : out) result.append(std::move(a));
    return result;
}

// Streams of a batch, each (data, h, w, quality, aligned, levels or None).
py::list model_decode_batch(const ContextModel& model, const py::sequence& sequence, int threads,
                            std::size_t max_symbols) {
    struct Item {
        Grid grid;
        Held held;
        Array<uint8_t> levels;
        uint8_t* map;
        bool coded;
    };
    std::vector<Item> items;
    for (const auto& entry : sequence) {
        const auto t = entry.cast<py::tuple>();
        if (t.size() != 6) invalid("a stream is (data, h, w, quality, aligned, levels or None)");
        const Grid grid = make_grid(t[1].cast<int>(), t[2].cast<int>(), t[3].cast<int>(), t[4].cast<bool>());
        check_bound(model, grid, max_symbols);
        Array<uint8_t> map({grid.rows(), grid.columns()});
        const bool coded = t[5].is_none();
        if (!coded) {
            const auto given = check_levels(model, grid, t[5]);
            std::copy(given.data(), given.data() + given.size(), map.mutable_data());
        }
        uint8_t* pm = map.mutable_data();
        items.push_back({grid, Held(t[0]), std::move(map), pm, coded});
    }
    std::vector<std::vector<int16_t>> out(items.size());
    {
        py::gil_scoped_release release;
        parallel(items.size(), threads, [&](std::size_t i) {
            const Item& item = items[i];
            out[i] = decode_face(model, item.grid, item.map, item.coded, item.held.span.data, item.held.span.size,
                                 max_symbols);
        });
    }
    py::list result;
    for (std::size_t i = 0; i < items.size(); ++i)
        result.append(py::make_tuple(Array<int16_t>(out[i].size(), out[i].data()), items[i].levels));
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
        .def_property_readonly("starts",
                               [](const Tables& t) { return Array<int64_t>(t.starts().size(), t.starts().data()); })
        .def_property_readonly("frequencies", [](const Tables& t) {
            return Array<uint16_t>(t.frequencies().size(), t.frequencies().data());
        });

    m.def("encode", &encode, py::arg("symbols"), py::arg("indexes"), py::arg("tables"));
    m.def("decode", &decode, py::arg("data"), py::arg("indexes"), py::arg("tables"));
    m.def("encode_batch", &encode_batch, py::arg("symbols"), py::arg("indexes"), py::arg("tables"),
          py::arg("threads") = 1);
    m.def("decode_batch", &decode_batch, py::arg("data"), py::arg("indexes"), py::arg("tables"),
          py::arg("threads") = 1);
    m.def("encode_packed", &encode_packed, py::arg("symbols"), py::arg("indexes"), py::arg("tables"),
          py::arg("threads") = 1);
    m.def("decode_packed", &decode_packed, py::arg("data"), py::arg("offsets"), py::arg("indexes"), py::arg("tables"),
          py::arg("threads") = 1);

    py::class_<AdaptiveBit>(m, "AdaptiveBit")
        .def(py::init([](int p1) { return AdaptiveBit::from(static_cast<uint16_t>(probability(p1))); }),
             py::arg("p1") = 32768)
        .def_property_readonly("p1", &AdaptiveBit::p1);

    py::class_<AdaptiveBits>(m, "AdaptiveBits")
        .def(py::init([](const py::handle& p1) {
                 const auto p = view<uint16_t>(p1, "p1");
                 if (p.size() == 0) invalid("p1 is empty; at least one context is needed");
                 AdaptiveBits bits;
                 for (py::ssize_t i = 0; i < p.size(); ++i)
                     bits.states.push_back(AdaptiveBit::from(static_cast<uint16_t>(probability(p.data()[i]))));
                 return bits;
             }),
             py::arg("p1"))
        .def("__len__", [](const AdaptiveBits& b) { return b.states.size(); })
        .def_property_readonly("p1", [](const AdaptiveBits& b) {
            Array<uint16_t> out(static_cast<py::ssize_t>(b.states.size()));
            for (std::size_t i = 0; i < b.states.size(); ++i)
                out.mutable_data()[i] = static_cast<uint16_t>(b.states[i].p1());
            return out;
        });

    py::class_<PyEncoder>(m, "RangeEncoder")
        .def(py::init<>())
        .def(
            "encode",
            [](PyEncoder& e, const py::handle& symbols, const py::handle& indexes, const Tables& tables) {
                e.open();
                const Integers s = symbols_of(symbols), x = indexes_of(indexes);
                expect_equal(s.size, x.size);
                with_symbols(s, [&](const auto* ps) {
                    with_indexes(x, [&](const auto* px) {
                        check_indexes(tables, px, s.size);
                        for (std::size_t k = 0; k < s.size; ++k) tables.encode(e.coder, e.escape, px[k], ps[k]);
                    });
                });
            },
            py::arg("symbols"), py::arg("indexes"), py::arg("tables"))
        .def(
            "encode_bits",
            [](PyEncoder& e, const py::handle& bits, const py::handle& contexts, AdaptiveBits& states) {
                e.open();
                const auto b = view<uint8_t>(bits, "bits");
                const Integers x(contexts, "contexts", true);
                if (static_cast<std::size_t>(b.size()) != x.size)
                    invalid("there are " + std::to_string(b.size()) + " bits and " + std::to_string(x.size) +
                            " contexts");
                const uint8_t* pb = b.data();
                with_indexes(x, [&](const auto* px) {
                    states.check(px, x.size);
                    for (std::size_t k = 0; k < x.size; ++k) {
                        AdaptiveBit& state = states.states[px[k]];
                        e.coder.encode_bit(pb[k] != 0, state.p1());
                        state.update(pb[k] != 0);
                    }
                });
            },
            py::arg("bits"), py::arg("contexts"), py::arg("states"))
        .def(
            "encode_bit",
            [](PyEncoder& e, bool bit, int p1) {
                e.open();
                e.coder.encode_bit(bit, probability(p1));
            },
            py::arg("bit"), py::arg("p1") = 32768)
        .def(
            "encode_adaptive",
            [](PyEncoder& e, bool bit, AdaptiveBit& state) {
                e.open();
                e.coder.encode_bit(bit, state.p1());
                state.update(bit);
            },
            py::arg("bit"), py::arg("state"))
        .def(
            "encode_bypass",
            [](PyEncoder& e, uint32_t value, int count) {
                e.open();
                if (value >> bit_count(count))
                    invalid("value " + std::to_string(value) + " does not fit " + std::to_string(count) + " bits");
                e.coder.encode_bypass(value, count);
            },
            py::arg("value"), py::arg("count"))
        .def("finish", [](PyEncoder& e) {
            e.open();
            e.done = true;
            e.coder.finish();
            return to_bytes(e.out);
        });

    py::class_<PyDecoder>(m, "RangeDecoder")
        .def(py::init([](const py::handle& data) {
                 const Held held(data);
                 return std::make_unique<PyDecoder>(Bytes(held.span.data, held.span.data + held.span.size));
             }),
             py::arg("data"))
        .def(
            "decode",
            [](PyDecoder& d, const py::handle& indexes, const Tables& tables) {
                const Integers x = indexes_of(indexes);
                Array<int32_t> out(static_cast<py::ssize_t>(x.size));
                int32_t* po = out.mutable_data();
                with_indexes(x, [&](const auto* px) {
                    check_indexes(tables, px, x.size);
                    for (std::size_t k = 0; k < x.size; ++k) po[k] = tables.decode(d.coder, d.escape, px[k]);
                });
                return out;
            },
            py::arg("indexes"), py::arg("tables"))
        .def(
            "decode_bits",
            [](PyDecoder& d, const py::handle& contexts, AdaptiveBits& states) {
                const Integers x(contexts, "contexts", true);
                Array<uint8_t> out(static_cast<py::ssize_t>(x.size));
                uint8_t* po = out.mutable_data();
                with_indexes(x, [&](const auto* px) {
                    states.check(px, x.size);
                    for (std::size_t k = 0; k < x.size; ++k) {
                        AdaptiveBit& state = states.states[px[k]];
                        po[k] = d.coder.decode_bit(state.p1());
                        state.update(po[k] != 0);
                    }
                });
                return out;
            },
            py::arg("contexts"), py::arg("states"))
        .def(
            "decode_bit", [](PyDecoder& d, int p1) { return d.coder.decode_bit(probability(p1)); },
            py::arg("p1") = 32768)
        .def(
            "decode_adaptive",
            [](PyDecoder& d, AdaptiveBit& state) {
                const bool bit = d.coder.decode_bit(state.p1());
                state.update(bit);
                return bit;
            },
            py::arg("state"))
        .def(
            "decode_bypass", [](PyDecoder& d, int count) { return d.coder.decode_bypass(bit_count(count)); },
            py::arg("count"))
        .def_property_readonly("position", [](const PyDecoder& d) { return d.coder.position(); })
        .def("check_end", [](const PyDecoder& d) { d.coder.check_end(); });

    py::class_<ContextModel, std::shared_ptr<ContextModel>>(m, "ContextModel")
        .def(py::init(&make_model), py::arg("arrays"), py::arg("tables"), py::arg("simd") = "auto")
        .def_property_readonly("channels", &ContextModel::channels)
        .def_property_readonly("simd", &ContextModel::simd)
        .def("encode", &model_encode, py::arg("symbols"), py::arg("levels"), py::arg("h"), py::arg("w"),
             py::arg("quality"), py::arg("aligned") = false, py::arg("coded_levels") = false)
        .def("decode", &model_decode, py::arg("data"), py::arg("h"), py::arg("w"), py::arg("quality"),
             py::arg("aligned") = false, py::arg("levels") = py::none(), py::arg("max_symbols") = std::size_t{1} << 28)
        .def("decode_levels", &model_decode_levels, py::arg("data"), py::arg("h"), py::arg("w"), py::arg("quality"),
             py::arg("aligned") = false, py::arg("max_symbols") = std::size_t{1} << 28)
        .def("predict", &model_predict, py::arg("symbols"), py::arg("levels"), py::arg("h"), py::arg("w"),
             py::arg("quality"), py::arg("aligned") = false)
        .def("cost", &model_cost, py::arg("symbols"), py::arg("levels"), py::arg("h"), py::arg("w"), py::arg("quality"),
             py::arg("aligned") = false)
        .def("encode_batch", &model_encode_batch, py::arg("faces"), py::arg("threads") = 1)
        .def("cost_batch", &model_cost_batch, py::arg("faces"), py::arg("threads") = 1)
        .def("decode_batch", &model_decode_batch, py::arg("streams"), py::arg("threads") = 1,
             py::arg("max_symbols") = std::size_t{1} << 28);
}
