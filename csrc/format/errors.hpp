// What files and weights are refused with; in Python lfic.errors.ContainerError and WeightsError.
#pragma once
#include "common/errors.hpp"

namespace lfic {

// A file's header is not one that this version reads.
struct ContainerError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// A weights file is damaged, or of another format.
struct WeightsError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

}  // namespace lfic
