// Batches of faces of one grid as arrays with a row for each face: no Python object a face but its bytes.
#include <algorithm>
#include <memory>

#include "bindings/arrays.hpp"
#include "bindings/coder/module.hpp"
#include "coder/face.hpp"

namespace lfic::bindings {
namespace {

// What is said of every face. All of it is copied: nothing changes while threads work on it.
struct Said {
    std::vector<Grid> grids;
    std::vector<uint8_t> levels, coded;  // [N, rows * columns], [N]
    std::size_t regions = 0;

    Said(const ContextModel& model, int h, int w, const py::handle& given_levels, const py::handle& given_quality,
         const py::handle& given_aligned, const py::handle& given_coded) {
        const auto quality = view<int64_t>(given_quality, "quality");
        const auto aligned = flags(given_aligned, "aligned"), with_levels = flags(given_coded, "coded");
        const auto all = view<uint8_t>(given_levels, "levels");
        model.check({h, w, 1, false});
        const Grid grid{h, w, 1, false};
        if (quality.ndim() != 1 || aligned.size() != quality.size() || with_levels.size() != quality.size())
            throw InvalidInput("quality, aligned and coded have " + std::to_string(quality.size()) + ", " +
                               std::to_string(aligned.size()) + " and " + std::to_string(with_levels.size()) +
                               " entries; needed is one of each for every face");
        if (all.ndim() != 3 || all.shape(0) != quality.size() || all.shape(1) != grid.rows() ||
            all.shape(2) != grid.columns())
            throw InvalidInput("levels must have shape [" + std::to_string(quality.size()) + ", " +
                               std::to_string(grid.rows()) + ", " + std::to_string(grid.columns()) + "]");
        regions = static_cast<std::size_t>(grid.rows()) * grid.columns();
        levels.assign(all.data(), all.data() + all.size());
        for (py::ssize_t i = 0; i < quality.size(); ++i) {
            const int64_t q = quality.data()[i];
            grids.push_back(
                {h, w, static_cast<int>(std::clamp<int64_t>(q, 0, kQualities + 1)), aligned.data()[i] != 0});
            model.check(grids.back());
            coded.push_back(with_levels.data()[i] != 0);
        }
    }

    std::size_t count() const { return grids.size(); }

  private:
    static Array<bool> flags(const py::handle& object, const char* name) {
        const py::array array = as_array(object, name);
        if (array.dtype().kind() != 'b') throw InvalidInput(std::string(name) + " must have dtype bool");
        return py::reinterpret_borrow<Array<bool>>(contiguous(array));
    }
};

std::vector<Face> faces_of(const ContextModel& model, const Said& said, const Array<int16_t>& symbols) {
    if (symbols.ndim() != 2 || static_cast<std::size_t>(symbols.shape(0)) != said.count())
        throw InvalidInput("symbols must have shape [" + std::to_string(said.count()) + ", K]");
    const std::size_t room = symbols.shape(1);
    std::vector<Face> faces;
    for (std::size_t i = 0; i < said.count(); ++i) {
        const uint8_t* levels = said.levels.data() + i * said.regions;
        const std::size_t count = model.kept_cells(said.grids[i], levels) * model.channels();
        if (count > room)
            throw InvalidInput("row " + std::to_string(i) + " has room for " + std::to_string(room) +
                               " symbols; its levels keep " + std::to_string(count));
        faces.push_back({said.grids[i], levels, symbols.data() + i * room, count, said.coded[i] != 0});
    }
    return faces;
}

py::tuple encode_rows(const ContextModel& model, const py::handle& given, const py::handle& levels, int h, int w,
                      const py::handle& quality, const py::handle& aligned, const py::handle& coded, int threads) {
    const Said said(model, h, w, levels, quality, aligned, coded);
    const auto symbols = view<int16_t>(given, "symbols");
    const auto faces = faces_of(model, said, symbols);
    Array<double> bits(static_cast<py::ssize_t>(faces.size()));
    double* room = bits.mutable_data();
    std::vector<Bytes> payloads;
    {
        py::gil_scoped_release release;
        payloads = encode_faces(model, faces, threads, room);
    }
    py::list out(payloads.size());
    for (std::size_t i = 0; i < payloads.size(); ++i) out[i] = to_bytes(payloads[i]);
    return py::make_tuple(out, bits);
}

Array<double> cost_rows(const ContextModel& model, const py::handle& given, const py::handle& levels, int h, int w,
                        const py::handle& quality, const py::handle& aligned, const py::handle& coded, int threads) {
    const Said said(model, h, w, levels, quality, aligned, coded);
    const auto symbols = view<int16_t>(given, "symbols");
    const auto faces = faces_of(model, said, symbols);
    Array<double> bits(static_cast<py::ssize_t>(faces.size()));
    double* room = bits.mutable_data();
    {
        py::gil_scoped_release release;
        faces_bits(model, faces, threads, room);
    }
    return bits;
}

py::tuple decode_rows(const ContextModel& model, const py::sequence& payloads, const py::handle& levels, int h, int w,
                      const py::handle& quality, const py::handle& aligned, const py::handle& coded, int threads,
                      std::size_t max_symbols) {
    Said said(model, h, w, levels, quality, aligned, coded);
    const std::size_t count = said.count(), channels = model.channels();
    if (payloads.size() != count)
        throw InvalidInput("there are " + std::to_string(payloads.size()) + " payloads for " + std::to_string(count) +
                           " faces");
    check_bound(model, {h, w, 1, false}, max_symbols);
    std::vector<Held> held;
    held.reserve(count);
    for (const auto& payload : payloads) held.emplace_back(payload);
    std::vector<FaceStream> streams;
    for (std::size_t i = 0; i < count; ++i)
        streams.push_back(
            {said.grids[i], held[i].data(), held[i].size(), said.levels.data() + i * said.regions, said.coded[i] != 0});
    std::vector<std::vector<int16_t>> symbols;
    std::vector<std::string> wrong;
    std::size_t most = channels;  // no row is empty
    {
        py::gil_scoped_release release;
        wrong = decode_faces(model, streams, threads, max_symbols, symbols);
        for (const auto& row : symbols) most = std::max(most, row.size());
    }
    Array<int16_t> rows({count, most});
    Array<uint8_t> found({count, static_cast<std::size_t>((h + kRegion - 1) / kRegion),
                          static_cast<std::size_t>((w + kRegion - 1) / kRegion)});
    int16_t* to = rows.mutable_data();
    uint8_t* to_levels = found.mutable_data();
    {
        py::gil_scoped_release release;
        for (std::size_t i = 0; i < count; ++i, to += most)
            std::fill(std::copy(symbols[i].begin(), symbols[i].end(), to), to + most, int16_t{0});
        for (std::size_t i = 0; i < count; ++i)
            if (!wrong[i].empty()) std::fill_n(said.levels.begin() + i * said.regions, said.regions, uint8_t{0});
        std::copy(said.levels.begin(), said.levels.end(), to_levels);
    }
    py::list errors;
    for (std::size_t i = 0; i < count; ++i)
        if (!wrong[i].empty()) errors.append(py::make_tuple(i, wrong[i]));
    return py::make_tuple(rows, found, errors);
}

}  // namespace

void add_rows(py::module_& m) {
    const auto symbols = py::arg("symbols"), levels = py::arg("levels"), h = py::arg("h"), w = py::arg("w"),
               quality = py::arg("quality"), aligned = py::arg("aligned"), coded = py::arg("coded");
    const auto threads = py::arg("threads") = 1;
    auto model =
        py::reinterpret_borrow<py::class_<ContextModel, std::shared_ptr<ContextModel>>>(m.attr("ContextModel"));
    model.def("encode_rows", &encode_rows, symbols, levels, h, w, quality, aligned, coded, threads)
        .def("cost_rows", &cost_rows, symbols, levels, h, w, quality, aligned, coded, threads)
        .def("decode_rows", &decode_rows, py::arg("payloads"), levels, h, w, quality, aligned, coded, threads,
             py::arg("max_symbols") = std::size_t{1} << 28);
}

}  // namespace lfic::bindings
