// lfic._file: a file's bytes -> its pixels' bytes, by the whole chain in C++ and without numpy, whose import takes
// longer than all the rest. What is wrong with a file is for lfic.decoder to say.
#include <pybind11/pybind11.h>

#include <utility>

#include "capi/codecs.hpp"
#include "png/rows.hpp"

namespace py = pybind11;

namespace {

lfic::View view_of(const py::buffer_info& info) {
    if (info.itemsize != 1 || info.ndim != 1 || (info.size > 1 && info.strides[0] != 1))
        throw lfic::InvalidInput("contiguous bytes are needed");
    return {static_cast<const std::uint8_t*>(info.ptr), static_cast<std::size_t>(info.size)};
}

class Reader {
  public:
    Reader(const py::buffer& weights, const py::buffer& former) : held_(weights.request()), former_(former.request()) {
        const lfic::View own = view_of(held_), before = view_of(former_);
        const py::gil_scoped_release release;
        codecs_ = std::make_unique<lfic::Codecs>(lfic::Weights(own), lfic::Weights(before));
    }

    py::tuple decode(const py::buffer& data, std::uint64_t max_pixels, int threads) {
        const py::buffer_info held = data.request();
        const lfic::View view = view_of(held);
        const lfic::Codec& codec = codec_of(lfic::read_file(view, max_pixels));
        const lfic::File file = codec.read(view, max_pixels);
        const std::size_t size = std::size_t{3} * file.width * file.height;
        auto pixels =
            py::reinterpret_steal<py::object>(PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(size)));
        if (!pixels) throw py::error_already_set();
        auto* const rgb = reinterpret_cast<std::uint8_t*>(PyBytes_AS_STRING(pixels.ptr()));
        {
            const py::gil_scoped_release release;
            codec.decode(file, rgb, threads);
        }
        return py::make_tuple(std::move(pixels), file.width, file.height, file.grey);
    }

  private:
    // Without the interpreter's lock: a thread that holds it may wait for one that makes a codec.
    const lfic::Codec& codec_of(const lfic::File& file) {
        const py::gil_scoped_release release;
        return codecs_->of(file);
    }

    py::buffer_info held_, former_;  // codecs are made of them later on
    std::unique_ptr<lfic::Codecs> codecs_;
};

py::bytes rows_of(const py::buffer& pixels, std::uint32_t width, std::uint32_t height, bool grey) {
    const py::buffer_info held = pixels.request();
    const lfic::View view = view_of(held);
    if (view.size != std::uint64_t{3} * width * height)
        throw lfic::InvalidInput("pixels have " + std::to_string(view.size) + " bytes; needed are 3 * width * height");
    std::vector<std::uint8_t> rows;
    {
        const py::gil_scoped_release release;
        rows = lfic::png_rows(view.data, 3, width, height, grey ? 1 : 3);
    }
    return py::bytes(reinterpret_cast<const char*>(rows.data()), rows.size());
}

}  // namespace

PYBIND11_MODULE(_file, m, py::mod_gil_not_used()) {
    m.doc() = "Files to pixels without numpy; lfic/reader.py says what for.";
    py::class_<Reader>(m, "Reader")
        .def(py::init<const py::buffer&, const py::buffer&>(), py::arg("weights"), py::arg("former"))
        .def("decode", &Reader::decode, py::arg("data"), py::arg("max_pixels"), py::arg("threads") = 0);
    m.def("png_rows", rows_of, py::arg("pixels"), py::arg("width"), py::arg("height"), py::arg("grey"));
}
