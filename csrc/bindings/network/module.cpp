// lfic._network: csrc/network/network.hpp with numpy arrays; arguments are checked, the GIL is released.
#include "network/network.hpp"

#include <pybind11/stl.h>

#include <string>
#include <utility>
#include <vector>

#include "bindings/arrays.hpp"
#include "bindings/errors.hpp"
#include "common/sizes.hpp"

namespace py = pybind11;
using namespace lfic::bindings;
using lfic::InvalidInput;
using lfic::network::Coded;
using lfic::network::Model;
using lfic::network::Picture;
using lfic::network::Symbols;
using lfic::network::Tensor;
using lfic::network::Tensors;
using lfic::network::Type;

namespace {

constexpr int kStride = 8;

int cells(int pixels) {
    return (pixels + kStride - 1) / kStride;
}

Type type_of(const py::array& array, const std::string& name) {
    if (holds<std::uint8_t>(array)) return Type::u8;
    if (holds<std::int16_t>(array)) return Type::i16;
    if (holds<std::int32_t>(array)) return Type::i32;
    if (holds<float>(array)) return Type::f32;
    throw InvalidInput(name + " has dtype " + text_of(array.dtype()) +
                       "; allowed are uint8, int16, int32 and float32 in this machine's byte order");
}

Model make_model(const py::dict& arrays, const std::string& simd) {
    Tensors tensors;
    std::vector<py::array> held;
    for (const auto& [key, value] : arrays) {
        const std::string name = text_of(key);
        held.push_back(contiguous(as_array(value, name.c_str())));
        const py::array& array = held.back();
        tensors["integers." + name] = {
            array.data(), type_of(array, name), {array.shape(), array.shape() + array.ndim()}};
    }
    const py::gil_scoped_release release;
    return Model(tensors, simd);
}

// An array of so many values; throws unless it has them.
template <class T>
Array<T> sized(const py::handle& object, const char* name, std::size_t size) {
    Array<T> array = view<T>(object, name);
    if (static_cast<std::size_t>(array.size()) != size)
        throw InvalidInput(std::string(name) + " has " + std::to_string(array.size()) + " values; needed are " +
                           std::to_string(size));
    return array;
}

void check_side(int side) {
    if (side < 1 || side > lfic::kMaxSide)
        throw InvalidInput("a side has " + std::to_string(side) + " pixels; allowed are 1 to " +
                           std::to_string(lfic::kMaxSide));
}

std::size_t region_count(const Picture& picture) {
    return static_cast<std::size_t>(lfic::regions_along(cells(picture.height))) *
           static_cast<std::size_t>(lfic::regions_along(cells(picture.width)));
}

Array<std::uint8_t> pixels_of(const py::handle& object) {
    Array<std::uint8_t> array = view<std::uint8_t>(object, "image");
    if (array.ndim() != 3 || array.shape(2) != 3)
        throw InvalidInput("an image is uint8 [height, width, 3]; found " + std::to_string(array.ndim()) + " axes");
    for (int axis = 0; axis < 2; ++axis)
        check_side(static_cast<int>(std::min<py::ssize_t>(array.shape(axis), lfic::kMaxSide + 1)));
    return array;
}

Picture picture_of(const Array<std::uint8_t>& image, int quality, bool aligned) {
    return {static_cast<int>(image.shape(0)), static_cast<int>(image.shape(1)), quality, aligned};
}

Array<std::uint8_t> levels_array(const std::vector<std::uint8_t>& levels, const Picture& picture) {
    return Array<std::uint8_t>({lfic::regions_along(cells(picture.height)), lfic::regions_along(cells(picture.width))},
                               levels.data());
}

// [(symbols, levels, height, width, quality, aligned)] -> [uint8 [height, width, 3]]
py::list synthesize(const Model& model, const py::sequence& coded, int threads) {
    std::vector<Picture> pictures;
    std::vector<Coded> payloads;
    std::vector<std::uint8_t*> rgb;
    std::vector<py::object> held;
    py::list out;
    for (const py::handle& entry : coded) {
        const auto [symbols, levels, height, width, quality, aligned] =
            entry.cast<std::tuple<py::object, py::object, int, int, int, bool>>();
        check_side(height);
        check_side(width);
        const Picture picture = {height, width, quality, aligned};
        const auto s = view<std::int16_t>(symbols, "symbols");
        const auto l = sized<std::uint8_t>(levels, "levels", region_count(picture));
        Array<std::uint8_t> image({height, width, 3});
        pictures.push_back(picture);
        payloads.push_back({s.data(), static_cast<std::size_t>(s.size()), l.data()});
        rgb.push_back(image.mutable_data());
        held.push_back(s);
        held.push_back(l);
        out.append(image);
    }
    const py::gil_scoped_release release;
    model.synthesize(pictures, payloads, rgb, threads);
    return out;
}

// [(image, quality, aligned)] -> [(symbols int16 [kept cells * C], levels uint8 [rows, columns])]
py::list encode(const Model& model, const py::sequence& images, int threads) {
    std::vector<Picture> pictures;
    std::vector<const std::uint8_t*> rgb;
    std::vector<Array<std::uint8_t>> held;
    for (const py::handle& entry : images) {
        const auto [image, quality, aligned] = entry.cast<std::tuple<py::object, int, bool>>();
        held.push_back(pixels_of(image));
        pictures.push_back(picture_of(held.back(), quality, aligned));
        rgb.push_back(held.back().data());
    }
    std::vector<Symbols> found;
    {
        const py::gil_scoped_release release;
        found = model.encode(pictures, rgb, threads);
    }
    py::list out;
    for (std::size_t i = 0; i < found.size(); ++i)
        out.append(py::make_tuple(to_array(found[i].symbols), levels_array(found[i].levels, pictures[i])));
    return out;
}

// uint8 [N, height, width, 3], quality and aligned of each -> int16 [N, rows, columns, C]
Array<std::int16_t> analyze(const Model& model, const py::object& images, const std::vector<int>& quality,
                            const std::vector<bool>& aligned, int threads) {
    const auto pixels = view<std::uint8_t>(images, "images");
    if (pixels.ndim() != 4 || pixels.shape(3) != 3)
        throw InvalidInput("images are uint8 [N, height, width, 3]; found " + std::to_string(pixels.ndim()) + " axes");
    const std::size_t count = static_cast<std::size_t>(pixels.shape(0));
    if (quality.size() != count || aligned.size() != count)
        throw InvalidInput("there are " + std::to_string(count) + " images and " + std::to_string(quality.size()) +
                           " qualities; needed is one for each, and whether it is aligned");
    for (int axis = 1; axis < 3; ++axis)
        check_side(static_cast<int>(std::min<py::ssize_t>(pixels.shape(axis), lfic::kMaxSide + 1)));
    const int height = static_cast<int>(pixels.shape(1)), width = static_cast<int>(pixels.shape(2));
    Array<std::int16_t> features({static_cast<int>(count), cells(height), cells(width), model.channels()});
    const std::ptrdiff_t size = static_cast<std::ptrdiff_t>(cells(height)) * cells(width) * model.channels();
    std::vector<Picture> pictures;
    std::vector<const std::uint8_t*> rgb;
    std::vector<std::int16_t*> out;
    for (std::size_t i = 0; i < count; ++i) {
        const auto at = static_cast<std::ptrdiff_t>(i);
        pictures.push_back({height, width, quality[i], aligned[i]});
        rgb.push_back(pixels.data() + at * height * width * 3);
        out.push_back(features.mutable_data() + at * size);
    }
    const py::gil_scoped_release release;
    model.analyze(pictures, rgb, out, threads);
    return features;
}

Picture picture_of_size(int height, int width, int quality, bool aligned) {
    check_side(height);
    check_side(width);
    return {height, width, quality, aligned};
}

std::size_t feature_count(const Model& model, const Picture& picture) {
    return static_cast<std::size_t>(cells(picture.height)) * static_cast<std::size_t>(cells(picture.width)) *
           static_cast<std::size_t>(model.channels());
}

Array<std::uint8_t> choose_levels(const Model& model, const py::object& features, int height, int width, int quality,
                                  bool aligned) {
    const Picture picture = picture_of_size(height, width, quality, aligned);
    const auto f = sized<std::int16_t>(features, "features", feature_count(model, picture));
    std::vector<std::uint8_t> levels(region_count(picture));
    {
        const py::gil_scoped_release release;
        model.choose_levels(picture, f.data(), levels.data());
    }
    return levels_array(levels, picture);
}

Array<std::int16_t> pool(const Model& model, const py::object& features, const py::object& levels, int height,
                         int width, int quality) {
    const Picture picture = picture_of_size(height, width, quality, false);
    const auto f = sized<std::int16_t>(features, "features", feature_count(model, picture));
    const auto l = sized<std::uint8_t>(levels, "levels", region_count(picture));
    std::vector<std::int16_t> symbols;
    {
        const py::gil_scoped_release release;
        symbols = model.pool(picture, f.data(), l.data());
    }
    return to_array(symbols);
}

}  // namespace

PYBIND11_MODULE(_network, m, py::mod_gil_not_used()) {
    m.doc() = "The integer networks, csrc/network/network.hpp; lfic/format/pixels.py says what they are.";
    translate_errors();
    py::class_<Model>(m, "Model")
        .def(py::init(&make_model), py::arg("tensors"), py::arg("simd") = "auto")
        .def_property_readonly("channels", &Model::channels)
        .def_property_readonly("simd", &Model::simd)
        .def_property_readonly("has_analysis", &Model::has_analysis)
        .def("synthesize", &synthesize, py::arg("coded"), py::arg("threads") = 1)
        .def("encode", &encode, py::arg("images"), py::arg("threads") = 1)
        .def("analyze", &analyze, py::arg("images"), py::arg("quality"), py::arg("aligned"), py::arg("threads") = 1)
        .def("choose_levels", &choose_levels, py::arg("features"), py::arg("height"), py::arg("width"),
             py::arg("quality"), py::arg("aligned"))
        .def("pool", &pool, py::arg("features"), py::arg("levels"), py::arg("height"), py::arg("width"),
             py::arg("quality"));
}
