// The rows of a PNG before they are deflated: https://www.w3.org/TR/png-3/, "Filtering".
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace lfic {

// Pixels uint8 [height, width, channels], channels 3 (RGB) or 1 (grey) of pixels of `stride` bytes each -> height rows
// of 1 + channels * width bytes. Each row has the filter whose differences are smallest in sum, as PNG advises.
std::vector<uint8_t> png_rows(const uint8_t* pixels, std::size_t stride, uint32_t width, uint32_t height, int channels);

}  // namespace lfic
