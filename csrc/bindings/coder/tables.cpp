#include <memory>

#include "bindings/arrays.hpp"
#include "bindings/coder/module.hpp"
#include "coder/cdf.hpp"

namespace lfic::bindings {

static std::shared_ptr<Tables> make_tables(const py::object& lows, const py::object& starts,
                                           const py::object& frequencies) {
    return std::make_shared<Tables>(to_vector<int32_t>(lows, "lows"), to_vector<int64_t>(starts, "starts"),
                                    to_vector<uint16_t>(frequencies, "frequencies"));
}

void add_tables(py::module_& m) {
    py::class_<Tables, std::shared_ptr<Tables>>(m, "Tables")
        .def(py::init(&make_tables), py::arg("lows"), py::arg("starts"), py::arg("frequencies"))
        .def("__len__", &Tables::count)
        .def_property_readonly("lows", [](const Tables& t) { return to_array(t.lows()); })
        .def_property_readonly("starts", [](const Tables& t) { return to_array(t.starts()); })
        .def_property_readonly("frequencies", [](const Tables& t) { return to_array(t.frequencies()); });
}

}  // namespace lfic::bindings
