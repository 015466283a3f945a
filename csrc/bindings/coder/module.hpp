// lfic._coder in parts, one for each file beside this one.
#pragma once
#include <pybind11/pybind11.h>

namespace lfic::bindings {

void add_tables(pybind11::module_& m);         // Tables
void add_streams(pybind11::module_& m);        // encode, decode, and their forms for many streams
void add_range_coder(pybind11::module_& m);    // RangeEncoder, RangeDecoder, AdaptiveBit, AdaptiveBits
void add_context_model(pybind11::module_& m);  // ContextModel
void add_rows(pybind11::module_& m);           // its methods for the rows of one array; after add_context_model

}  // namespace lfic::bindings
