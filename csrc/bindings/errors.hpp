// The library's errors -> lfic's.
#pragma once
#include <pybind11/pybind11.h>

#include "common/errors.hpp"

namespace lfic::bindings {

// CorruptStream becomes lfic.errors.CorruptStreamError and InvalidInput lfic.errors.InvalidInputError in the module
// that calls this, and in no other: extension modules share their types' names, and lfic.kernels must not import lfic.
inline void translate_errors() {
    pybind11::register_local_exception_translator([](std::exception_ptr thrown) {
        const auto raise = [](const char* name, const std::exception& error) {
            const auto type = pybind11::module_::import("lfic.errors").attr(name);
            PyErr_SetString(type.ptr(), error.what());
        };
        try {
            if (thrown) std::rethrow_exception(thrown);
        } catch (const CorruptStream& error) {
            raise("CorruptStreamError", error);
        } catch (const InvalidInput& error) {
            raise("InvalidInputError", error);
        }
    });
}

}  // namespace lfic::bindings
