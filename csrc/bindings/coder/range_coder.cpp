#include "coder/range_coder.hpp"

#include <memory>

#include "bindings/arrays.hpp"
#include "bindings/coder/module.hpp"
#include "coder/stream.hpp"

namespace lfic::bindings {
namespace {

// A stream that calls add to, and its bytes.
struct Writer {
    Bytes out;
    RangeEncoder coder{out};
    EscapeCoder escape;
    bool done = false;

    Writer() = default;
    Writer(const Writer&) = delete;  // coder points to out

    void open() const {
        if (done) throw InvalidInput("the encoder is finished; start a new one");
    }
};

// A stream that calls take from, and a copy of its bytes.
struct Reader {
    Bytes data;
    RangeDecoder coder;
    EscapeCoder escape;
    explicit Reader(Bytes bytes) : data(std::move(bytes)), coder(data.data(), data.size()) {}
    Reader(const Reader&) = delete;  // coder points into data
};

void write_symbols(Writer& e, const py::handle& symbols, const py::handle& indexes, const Tables& tables) {
    e.open();
    const Integers s(symbols, "symbols", false), x(indexes, "indexes", true, 1, true);
    if (s.size != x.size)
        throw InvalidInput("there are " + std::to_string(s.size) + " symbols and " + std::to_string(x.size) +
                           " indexes");
    s.visit_wide([&](const auto* ps) {
        x.visit([&](const auto* px) {
            check_indexes(tables, px, s.size);
            tables.encode(e.coder, e.escape, ps, px, s.size);
        });
    });
}

void write_bits(Writer& e, const py::handle& bits, const py::handle& contexts, AdaptiveBits& states) {
    e.open();
    const auto b = view<uint8_t>(bits, "bits");
    const Integers x(contexts, "contexts", true, 1, true);
    if (static_cast<std::size_t>(b.size()) != x.size)
        throw InvalidInput("there are " + std::to_string(b.size()) + " bits and " + std::to_string(x.size) +
                           " contexts");
    x.visit([&](const auto* px) { states.encode(e.coder, b.data(), px, x.size); });
}

void write_bypass(Writer& e, uint32_t value, int count) {
    e.open();
    if (value >> checked_bit_count(count))
        throw InvalidInput("value " + std::to_string(value) + " does not fit " + std::to_string(count) + " bits");
    e.coder.encode_bypass(value, count);
}

py::bytes finish(Writer& e) {
    e.open();
    e.done = true;
    e.coder.finish();
    return to_bytes(e.out);
}

std::unique_ptr<Reader> make_reader(const py::handle& data) {
    const Held held(data);
    return std::make_unique<Reader>(Bytes(held.data(), held.data() + held.size()));
}

Array<int32_t> read_symbols(Reader& d, const py::handle& indexes, const Tables& tables) {
    const Integers x(indexes, "indexes", true, 1, true);
    Array<int32_t> out(static_cast<py::ssize_t>(x.size));
    x.visit([&](const auto* px) {
        check_indexes(tables, px, x.size);
        tables.decode(d.coder, d.escape, px, x.size, out.mutable_data());
    });
    return out;
}

Array<uint8_t> read_bits(Reader& d, const py::handle& contexts, AdaptiveBits& states) {
    const Integers x(contexts, "contexts", true, 1, true);
    Array<uint8_t> out(static_cast<py::ssize_t>(x.size));
    x.visit([&](const auto* px) { states.decode(d.coder, px, x.size, out.mutable_data()); });
    return out;
}

void add_adaptive_bits(py::module_& m) {
    py::class_<AdaptiveBit>(m, "AdaptiveBit")
        .def(py::init([](int p1) { return AdaptiveBit::from(checked_probability(p1)); }), py::arg("p1") = 32768)
        .def_property_readonly("p1", &AdaptiveBit::p1);

    py::class_<AdaptiveBits>(m, "AdaptiveBits")
        .def(py::init([](const py::handle& p1) {
                 const auto p = view<uint16_t>(p1, "p1");
                 return AdaptiveBits(p.data(), static_cast<std::size_t>(p.size()));
             }),
             py::arg("p1"))
        .def("__len__", &AdaptiveBits::count)
        .def_property_readonly("p1", [](const AdaptiveBits& bits) {
            Array<uint16_t> out(static_cast<py::ssize_t>(bits.count()));
            for (std::size_t i = 0; i < bits.count(); ++i) out.mutable_data()[i] = static_cast<uint16_t>(bits[i].p1());
            return out;
        });
}

}  // namespace

void add_range_coder(py::module_& m) {
    add_adaptive_bits(m);

    const auto write_bit = [](Writer& e, bool bit, int p1) {
        e.open();
        e.coder.encode_bit(bit, checked_probability(p1));
    };
    const auto write_adaptive = [](Writer& e, bool bit, AdaptiveBit& state) {
        e.open();
        state.encode(e.coder, bit);
    };
    py::class_<Writer>(m, "RangeEncoder",
                       "A stream that calls add to: symbols by tables, bits of any probability, in any order. A\n"
                       "``RangeDecoder`` takes them out in the same order. It belongs to one thread at a time.")
        .def(py::init<>())
        .def("encode", &write_symbols, py::arg("symbols"), py::arg("indexes"), py::arg("tables"),
             "Symbols int32 or int16 [n], each with the table that indexes, integers [n], name.")
        .def("encode_bits", &write_bits, py::arg("bits"), py::arg("contexts"), py::arg("states"),
             "Bits uint8 [n] (0, or anything else for 1), each with the state of ``AdaptiveBits`` that contexts,\n"
             "integers [n], name; the states move.")
        .def("encode_bit", write_bit, py::arg("bit"), py::arg("p1") = 32768,
             "One bit; p1 / 65536, with p1 1 to 65535, is its probability of being 1.")
        .def("encode_adaptive", write_adaptive, py::arg("bit"), py::arg("state"),
             "One bit with the probability of an ``AdaptiveBit``, which moves.")
        .def("encode_bypass", &write_bypass, py::arg("value"), py::arg("count"),
             "``count`` bits, 0 to 16, of ``value``, 0 to 2^count - 1, all equally probable.")
        .def("finish", &finish, "The stream's bytes, the shortest that decode; nothing can be added afterwards.");

    const auto read_bit = [](Reader& d, int p1) { return d.coder.decode_bit(checked_probability(p1)); };
    const auto read_adaptive = [](Reader& d, AdaptiveBit& state) { return state.decode(d.coder); };
    const auto read_bypass = [](Reader& d, int count) { return d.coder.decode_bypass(checked_bit_count(count)); };
    py::class_<Reader>(m, "RangeDecoder",
                       "What a ``RangeEncoder`` wrote, taken out in the order in which it was put in. The bytes are\n"
                       "copied. It belongs to one thread at a time. Damage that shows raises CorruptStreamError.")
        .def(py::init(&make_reader), py::arg("data"))
        .def("decode", &read_symbols, py::arg("indexes"), py::arg("tables"),
             "Symbols int32 [n] by the tables that indexes, integers [n], name.")
        .def("decode_bits", &read_bits, py::arg("contexts"), py::arg("states"),
             "Bits uint8 [n] by the states of ``AdaptiveBits`` that contexts, integers [n], name; the states move.")
        .def("decode_bit", read_bit, py::arg("p1") = 32768,
             "One bit, whose probability of being 1 is p1 / 65536, with p1 1 to 65535.")
        .def("decode_adaptive", read_adaptive, py::arg("state"),
             "One bit with the probability of an ``AdaptiveBit``, which moves.")
        .def("decode_bypass", read_bypass, py::arg("count"), "``count`` equally probable bits, 0 to 16: an int.")
        .def(
            "check_end", [](const Reader& d) { d.coder.check_end(); },
            "CorruptStreamError unless the stream ends here as ``RangeEncoder.finish`` ends it.")
        .def_property_readonly(
            "position", [](const Reader& d) { return d.coder.position(); },
            "Bytes taken so far, an int: up to 8 more than the symbols needed, as the decoder looks ahead.");
}

}  // namespace lfic::bindings
