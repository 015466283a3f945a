#include "coder/stream.hpp"

#include "bindings/arrays.hpp"
#include "bindings/coder/module.hpp"

namespace lfic::bindings {
namespace {

Integers symbols_of(const py::handle& object) {
    return {object, "symbols", false};
}

Integers indexes_of(const py::handle& object) {
    return {object, "indexes", true, 1, true};
}

void expect_equal(std::size_t symbols, std::size_t indexes, const std::string& where = "") {
    if (symbols != indexes)
        throw InvalidInput(where + "there are " + std::to_string(symbols) + " symbols and " + std::to_string(indexes) +
                           " indexes");
}

void encode_any(const Tables& tables, const Integers& s, const Integers& x, Bytes& out) {
    s.visit_wide([&](const auto* ps) { x.visit([&](const auto* px) { encode_stream(tables, ps, px, s.size, out); }); });
}

// Letting go of the GIL and taking it again costs more than coding so few symbols.
constexpr std::size_t kReleaseFrom = 512;

template <class F>
void without_gil(std::size_t symbols, F&& f) {
    if (symbols < kReleaseFrom) return f();
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

Array<int32_t> decode(const py::handle& data, const py::handle& indexes, const Tables& tables) {
    const Integers x = indexes_of(indexes);
    const Held held(data);
    Array<int32_t> out(static_cast<py::ssize_t>(x.size));
    int32_t* po = out.mutable_data();
    without_gil(x.size, [&] {
        x.visit([&](const auto* px) { decode_stream(tables, held.data(), held.size(), px, x.size, po); });
    });
    return out;
}

py::list encode_batch(const py::sequence& symbols, const py::sequence& indexes, const Tables& tables, int threads) {
    if (symbols.size() != indexes.size())
        throw InvalidInput("there are " + std::to_string(symbols.size()) + " symbol arrays and " +
                           std::to_string(indexes.size()) + " index arrays");
    std::vector<Integers> s, x;
    for (std::size_t k = 0; k < symbols.size(); ++k) {
        s.push_back(symbols_of(symbols[k]));
        x.push_back(indexes_of(indexes[k]));
        expect_equal(s[k].size, x[k].size, "stream " + std::to_string(k) + ": ");
    }
    std::vector<Bytes> out(s.size());
    {
        py::gil_scoped_release release;
        for_each_stream(s.size(), threads, [&](std::size_t k) { encode_any(tables, s[k], x[k], out[k]); });
    }
    py::list result(out.size());
    for (std::size_t k = 0; k < out.size(); ++k) result[k] = to_bytes(out[k]);
    return result;
}

py::list decode_batch(const py::sequence& data, const py::sequence& indexes, const Tables& tables, int threads) {
    if (data.size() != indexes.size())
        throw InvalidInput("there are " + std::to_string(data.size()) + " streams and " +
                           std::to_string(indexes.size()) + " index arrays");
    std::vector<Held> held;
    std::vector<Integers> x;
    std::vector<Array<int32_t>> out;
    std::vector<int32_t*> po;
    bool mixed = false;
    for (std::size_t k = 0; k < data.size(); ++k) {
        held.emplace_back(data[k]);
        x.push_back(indexes_of(indexes[k]));
        out.emplace_back(static_cast<py::ssize_t>(x[k].size));
        po.push_back(out[k].mutable_data());
        mixed |= x[k].kind != x[0].kind;
    }
    if (mixed)  // streams side by side have indexes of one type
        for (auto& one : x) one = indexes_of(Array<int32_t>::ensure(one.array));
    if (!x.empty())
        x[0].visit([&](const auto* first) {
            using Index = IntegerOf<decltype(first)>;
            std::vector<Lane<Index>> streams;
            for (std::size_t k = 0; k < x.size(); ++k)
                streams.push_back(
                    {held[k].data(), held[k].size(), static_cast<const Index*>(x[k].data), x[k].size, po[k]});
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
    const Integers x(indexes, "indexes", true, 0, true);
    const std::size_t count = s.array.shape(0), length = s.array.shape(1);
    const bool shared = x.array.ndim() == 1;
    if (x.size != (shared ? length : s.size) ||
        (!shared && (x.array.ndim() != 2 || x.array.shape(0) != s.array.shape(0))))
        throw InvalidInput("indexes must have the shape of symbols, [" + std::to_string(count) + ", " +
                           std::to_string(length) + "], or [" + std::to_string(length) + "]");
    std::vector<Bytes> out(count);
    {
        py::gil_scoped_release release;
        s.visit_wide([&](const auto* ps) {
            x.visit([&](const auto* px) {
                for_each_stream(count, threads, [&](std::size_t k) {
                    encode_stream(tables, ps + k * length, px + (shared ? 0 : k * length), length, out[k]);
                });
            });
        });
    }
    Array<int64_t> offsets(static_cast<py::ssize_t>(count + 1));
    int64_t* po = offsets.mutable_data();
    po[0] = 0;
    for (std::size_t k = 0; k < count; ++k) po[k + 1] = po[k] + static_cast<int64_t>(out[k].size());
    Array<uint8_t> buffer(static_cast<py::ssize_t>(po[count]));
    for (std::size_t k = 0; k < count; ++k) std::copy(out[k].begin(), out[k].end(), buffer.mutable_data() + po[k]);
    return py::make_tuple(buffer, offsets);
}

// The inverse: int32 [N, n].
Array<int32_t> decode_packed(const py::handle& data, const py::handle& offsets, const py::handle& indexes,
                             const Tables& tables, int threads) {
    const Held held(data);
    const auto given = view<int64_t>(offsets, "offsets");
    if (given.ndim() != 1 || given.size() < 1) throw InvalidInput("offsets must have shape [streams + 1]");
    const std::size_t count = given.size() - 1;
    const std::vector<int64_t> own(given.data(), given.data() + given.size());
    const int64_t* po = own.data();
    check_offsets(po, count, held.size());
    const Integers x(indexes, "indexes", true, 0, true);
    const bool shared = x.array.ndim() == 1;
    if (!shared && (x.array.ndim() != 2 || x.array.shape(0) != static_cast<py::ssize_t>(count)))
        throw InvalidInput("indexes must have shape [" + std::to_string(count) + ", symbols] or [symbols]");
    const std::size_t length = shared ? x.size : static_cast<std::size_t>(x.array.shape(1));
    Array<int32_t> out({static_cast<py::ssize_t>(count), static_cast<py::ssize_t>(length)});
    int32_t* ps = out.mutable_data();
    x.visit([&](const auto* px) {
        py::gil_scoped_release release;
        std::vector<Lane<IntegerOf<decltype(px)>>> streams;
        streams.reserve(count);
        for (std::size_t k = 0; k < count; ++k)
            streams.push_back({held.data() + po[k], static_cast<std::size_t>(po[k + 1] - po[k]),
                               px + (shared ? 0 : k * length), length, ps + k * length});
        decode_streams(tables, streams.data(), count, threads);
    });
    return out;
}

}  // namespace

void add_streams(py::module_& m) {
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
}

}  // namespace lfic::bindings
