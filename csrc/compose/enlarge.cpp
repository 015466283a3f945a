#include <algorithm>
#include <cstring>

#include "common/compiler.hpp"
#include "common/cpu.hpp"
#include "common/threads.hpp"
#include "compose/compose.hpp"
#include "compose/tables.hpp"

namespace lfic {
namespace {

constexpr int kMargin = 2;         // pixels beyond the edge that the cubic sees
constexpr std::size_t kBand = 64;  // rows that a thread takes at once

// Where output row or column `at` lies in the source: the pixel before it, and the weights of the four around it.
struct Phase {
    int64_t cell;
    const int16_t* weights;
    Phase(int64_t at, int reduction) {
        const int64_t position = ((2 * at + 1) * (kPhases / 2) * eighths(reduction) >> shift(reduction)) - kPhases / 2;
        cell = position >> 6;
        weights = kCubic[position & (kPhases - 1)].data();
    }
};

// sums[i] = four rows weighted.
LFIC_INLINE void down(const uint8_t* const* rows, const int16_t* w, std::size_t count, int32_t* sums) {
    const uint8_t *a = rows[0], *b = rows[1], *c = rows[2], *d = rows[3];
    const int w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3];
    for (std::size_t i = 0; i < count; ++i) sums[i] = a[i] * w0 + b[i] * w1 + c[i] * w2 + d[i] * w3;
}

// out[i] = four pixels of a row of sums weighted, rounded and clamped.
LFIC_INLINE void along(const int32_t* sums, const int16_t* w, std::size_t count, uint8_t* out) {
    const int w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3];
    for (std::size_t i = 0; i < count; ++i) {
        const int32_t v = (sums[i] * w0 + sums[i + 3] * w1 + sums[i + 6] * w2 + sums[i + 9] * w3 + (1 << 19)) >> 20;
        out[i] = static_cast<uint8_t>(v < 0 ? 0 : v > 255 ? 255 : v);
    }
}

void down_any(const uint8_t* const* rows, const int16_t* w, std::size_t count, int32_t* sums) {
    down(rows, w, count, sums);
}
void along_any(const int32_t* sums, const int16_t* w, std::size_t count, uint8_t* out) {
    along(sums, w, count, out);
}
#ifdef LFIC_AVX2
LFIC_AVX2 void down_avx2(const uint8_t* const* rows, const int16_t* w, std::size_t count, int32_t* sums) {
    down(rows, w, count, sums);
}
LFIC_AVX2 void along_avx2(const int32_t* sums, const int16_t* w, std::size_t count, uint8_t* out) {
    along(sums, w, count, out);
}
#endif

// A row of the picture, pixel by pixel. sums: of a row of the background, of which `middle` is the first pixel.
void row_of_pixels(const int32_t* middle, const std::vector<Phase>& columns, uint8_t* to) {
    for (const Phase& column : columns) {
        along(middle + 3 * (column.cell - 1), column.weights, 3, to);
        to += 3;
    }
}

}  // namespace

void enlarge(const uint8_t* background, int reduction, int64_t width, int64_t height, uint8_t* out, int threads) {
    if (reduction == 0) {
        std::memcpy(out, background, static_cast<std::size_t>(width * height) * 3);
        return;
    }
    auto down_by = &down_any;
    auto along_by = &along_any;
#ifdef LFIC_AVX2
    if (has_avx2()) down_by = &down_avx2, along_by = &along_avx2;
#endif
    const bool whole = eighths(reduction) == 8;  // each pixel of the background becomes `factor` of a row
    const int times = reduction >> 2, factor = whole ? 1 << times : 0;
    const int64_t columns = shrunk_side(width, reduction), rows = shrunk_side(height, reduction);
    const std::size_t row = static_cast<std::size_t>(columns) * 3;
    std::vector<Phase> places;
    for (int64_t x = 0; x < (whole ? factor : width); ++x) places.emplace_back(x, reduction);
    parallel(static_cast<std::size_t>(height), kBand, thread_count(threads), [&](std::size_t first, std::size_t last) {
        std::vector<int32_t> sums(row + 2 * 3 * kMargin);
        std::vector<std::vector<uint8_t>> phases(static_cast<std::size_t>(factor), std::vector<uint8_t>(row));
        int32_t* const middle = sums.data() + 3 * kMargin;
        for (std::size_t y = first; y < last; ++y) {
            const Phase vertical(static_cast<int64_t>(y), reduction);
            const uint8_t* four[4];
            for (int k = 0; k < 4; ++k)
                four[k] =
                    background + std::clamp<int64_t>(vertical.cell + k - 1, 0, rows - 1) * static_cast<int64_t>(row);
            down_by(four, vertical.weights, row, middle);
            for (int k = 0; k < kMargin; ++k) {
                std::copy(middle, middle + 3, sums.begin() + 3 * k);
                std::copy(middle + row - 3, middle + row, sums.end() - 3 * (k + 1));
            }
            uint8_t* to = out + y * static_cast<std::size_t>(width) * 3;
            if (!whole) {
                row_of_pixels(middle, places, to);
                continue;
            }
            for (int f = 0; f < factor; ++f)
                along_by(middle + 3 * (places[f].cell - 1), places[f].weights, row, phases[f].data());
            for (int64_t x = 0; x < width; ++x, to += 3) {
                const uint8_t* from = phases[x & (factor - 1)].data() + (x >> times) * 3;
                to[0] = from[0], to[1] = from[1], to[2] = from[2];
            }
        }
    });
}

}  // namespace lfic
