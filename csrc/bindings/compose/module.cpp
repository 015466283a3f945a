// lfic._compose: pixels of backgrounds and faces -> pictures; use it through lfic.format.compose.
#include "bindings/arrays.hpp"
#include "bindings/errors.hpp"
#include "compose/compose.hpp"

namespace lfic::bindings {
namespace {

constexpr int64_t kMaxPictureSide = int64_t{1} << 21;

// An array of this shape, or InvalidInput.
template <class T>
Array<T> shaped(const py::handle& object, const char* name, std::initializer_list<int64_t> shape) {
    auto array = view<T>(object, name);
    bool equal = array.ndim() == static_cast<py::ssize_t>(shape.size());
    std::string wanted;
    py::ssize_t axis = 0;
    for (const int64_t side : shape) {
        equal = equal && array.shape(axis++) == side;
        wanted += (wanted.empty() ? "" : ", ") + std::to_string(side);
    }
    if (!equal)
        throw InvalidInput(std::string(name) + " has shape " + text_of(object.attr("shape")) + "; needed is (" +
                           wanted + ")");
    return array;
}

// An array [height, width, ...] that is written where it lies: neither another dtype nor gaps.
template <class T>
Array<T> writable(const py::handle& object, const char* name, py::ssize_t axes) {
    const py::array array = as_array(object, name);
    if (!holds<T>(array) || array.ndim() != axes || !(array.flags() & py::array::c_style) || !array.writeable())
        throw InvalidInput(std::string(name) + " must be a writable, contiguous array of " + std::to_string(axes) +
                           " axes and dtype " + text_of(py::dtype::of<T>()));
    return py::reinterpret_borrow<Array<T>>(array);
}

Array<uint8_t> picture_of(const py::handle& object) {
    auto array = view<uint8_t>(object, "picture");
    if (array.ndim() != 3 || array.shape(2) != 3)
        throw InvalidInput("picture has shape " + text_of(object.attr("shape")) + "; needed is [height, width, 3]");
    return array;
}

void check_size(int reduction, int64_t width, int64_t height) {
    if (reduction < 0 || reduction > kMaxReduction)
        throw InvalidInput("the reduction is " + std::to_string(reduction) + "; allowed are 0 to 15");
    if (width < 1 || height < 1 || width > kMaxPictureSide || height > kMaxPictureSide)
        throw InvalidInput("the picture is " + std::to_string(width) + " x " + std::to_string(height) +
                           "; allowed are 1 to " + std::to_string(kMaxPictureSide) + " pixels a side");
}

Array<uint8_t> enlarge_background(const py::handle& pixels, int reduction, int64_t width, int64_t height, int threads) {
    check_size(reduction, width, height);
    const auto from =
        shaped<uint8_t>(pixels, "background", {shrunk_side(height, reduction), shrunk_side(width, reduction), 3});
    Array<uint8_t> out({height, width, int64_t{3}});
    uint8_t* to = out.mutable_data();
    const uint8_t* data = from.data();
    const py::gil_scoped_release release;
    enlarge(data, reduction, width, height, to, threads);
    return out;
}

Array<uint8_t> shrink_picture(const py::handle& pixels, int reduction, int threads) {
    const auto from = picture_of(pixels);
    const int64_t height = from.shape(0), width = from.shape(1);
    check_size(reduction, width, height);
    Array<uint8_t> out({shrunk_side(height, reduction), shrunk_side(width, reduction), int64_t{3}});
    uint8_t* to = out.mutable_data();
    const uint8_t* data = from.data();
    const py::gil_scoped_release release;
    shrink(data, reduction, width, height, to, threads);
    return out;
}

py::tuple resolution(const py::handle& pixels, int quality, int threads) {
    const auto from = picture_of(pixels);
    const int64_t height = from.shape(0), width = from.shape(1);
    check_size(0, width, height);
    if (quality < 1 || quality > 100)
        throw InvalidInput("quality is " + std::to_string(quality) + "; allowed are the integers 1 to 100");
    const uint8_t* data = from.data();
    Resolution found{};
    {
        const py::gil_scoped_release release;
        found = resolution_for(data, width, height, quality, threads);
    }
    return py::make_tuple(found.reduction, found.quality);
}

py::tuple step_of(int quality) {
    const Resolution found = background_step(quality);
    return py::make_tuple(found.reduction, found.quality);
}

// Of a layer, by its first side; what is no layer's side is refused by the check of the shape.
int size_of(const py::handle& face) {
    if (!py::isinstance<py::array>(face)) return 0;
    const auto array = py::reinterpret_borrow<py::array>(face);
    for (int size = kMaxSize; size > 0; --size)
        if (array.ndim() == 3 && array.shape(0) == kSide << size) return size;
    return 0;
}

void paint_face(const py::handle& picture, const py::handle& face, int x, int y, int scale, int angle, int threads) {
    auto onto = writable<uint8_t>(picture, "picture", 3);
    if (onto.shape(2) != 3)
        throw InvalidInput("picture has " + std::to_string(onto.shape(2)) + " channels; needed are 3");
    const int size = size_of(face);
    const auto pixels = shaped<uint8_t>(face, "template", {kSide << size, kSide << size, 3});
    check_size(0, onto.shape(1), onto.shape(0));
    uint8_t* to = onto.mutable_data();
    const Painted painted{pixels.data(), {x, y, scale, angle}, size};
    const int64_t width = onto.shape(1), height = onto.shape(0);
    const py::gil_scoped_release release;
    paint(to, width, height, painted, threads);
}

void cover_by(const py::handle& left, int x, int y, int scale, int angle, int threads) {
    auto onto = writable<int32_t>(left, "left", 2);
    check_size(0, onto.shape(1), onto.shape(0));
    int32_t* to = onto.mutable_data();
    const int64_t width = onto.shape(1), height = onto.shape(0);
    const py::gil_scoped_release release;
    cover(to, width, height, {x, y, scale, angle}, threads);
}

}  // namespace
}  // namespace lfic::bindings

PYBIND11_MODULE(_compose, m, pybind11::mod_gil_not_used()) {
    using namespace lfic::bindings;
    m.doc() = "Painting of pictures in integers, csrc/compose; use it through lfic.format.compose.";
    translate_errors();
    m.def("enlarge", &enlarge_background, py::arg("background"), py::arg("reduction"), py::arg("width"),
          py::arg("height"), py::arg("threads") = 1);
    m.def("shrink", &shrink_picture, py::arg("picture"), py::arg("reduction"), py::arg("threads") = 1);
    m.def("resolution", &resolution, py::arg("picture"), py::arg("quality"), py::arg("threads") = 1);
    m.def("background_step", &step_of, py::arg("quality"));
    m.def("most_reduction", &lfic::most_reduction, py::arg("width"), py::arg("height"), py::arg("quality"));
    m.def("paint", &paint_face, py::arg("picture"), py::arg("template"), py::arg("x"), py::arg("y"), py::arg("scale"),
          py::arg("angle"), py::arg("threads") = 1);
    m.def("cover", &cover_by, py::arg("left"), py::arg("x"), py::arg("y"), py::arg("scale"), py::arg("angle"),
          py::arg("threads") = 1);
}
