#include "bindings/coder/module.hpp"

#include "bindings/errors.hpp"

PYBIND11_MODULE(_coder, m, pybind11::mod_gil_not_used()) {
    m.doc() = "Entropy coder of lfic; use it through lfic.coder.";
    lfic::bindings::translate_errors();
    lfic::bindings::add_tables(m);
    lfic::bindings::add_streams(m);
    lfic::bindings::add_range_coder(m);
    lfic::bindings::add_context_model(m);
    lfic::bindings::add_rows(m);
}
