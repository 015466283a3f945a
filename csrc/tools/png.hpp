// A whole PNG of 8 bits: what dlfic writes.
#pragma once
#include <cstdint>
#include <vector>

namespace lfic {

// RGB pixels uint8 [height, width, 3]; of grey ones the first channel is kept. Deflated by zlib where that was there
// when this was compiled, else stored.
std::vector<uint8_t> png(const uint8_t* rgb, uint32_t width, uint32_t height, bool grey);

}  // namespace lfic
