// The two ways in which this library says no. In Python the coder's are lfic.errors.InvalidInputError and
// CorruptStreamError, while a kernel's InvalidInput is a ValueError.
#pragma once
#include <cstddef>
#include <stdexcept>
#include <string>

namespace lfic {

// An argument is out of its range: found, allowed.
struct InvalidInput : std::invalid_argument {
    using std::invalid_argument::invalid_argument;
};

// The bytes can't have come from the encoder; `position` is the byte at which that was noticed.
struct CorruptStream : std::runtime_error {
    CorruptStream(const std::string& what, std::size_t position)
        : std::runtime_error(what + " (noticed at byte " + std::to_string(position) + ")") {}
    // The same, of stream `number` of a batch.
    CorruptStream(std::size_t number, const CorruptStream& error)
        : std::runtime_error("stream " + std::to_string(number) + " of the batch: " + error.what()) {}
};

}  // namespace lfic
