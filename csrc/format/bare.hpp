// Bare streams: an aligned face behind one byte, as QR codes and table columns hold it. docs/FORMAT.md has the rules.
#pragma once
#include <vector>

#include "format/bits.hpp"

namespace lfic {

// The bytes of the file that says the same, without a checksum; a file is given back as it is. There is no magic: any
// first byte below 200 begins a bare stream. Throws ContainerError, or CorruptStream for no bytes.
std::vector<uint8_t> file_of_bare(const View& bare);

}  // namespace lfic
