#include "compose/place.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace lfic {
namespace {

constexpr double kTurn = 6.283185307179586476925286766559;

// Values of 2^30 that no machine's cosine or power rounds to another integer: all are far from a tie, which a test
// says.
struct Circle {
    std::array<int64_t, kAngles> cosine;
    std::array<int64_t, kOctave> inverse;
    Circle() {
        for (int k = 0; k < kAngles; ++k) cosine[k] = std::llround(std::cos(kTurn * k / kAngles) * (1 << 30));
        for (int j = 0; j < kOctave; ++j)
            inverse[j] = std::llround(std::exp2(-static_cast<double>(j) / kOctave) * (1 << 30));
    }
};

const Circle& circle() {
    static const Circle c;
    return c;
}

}  // namespace

void Place::steps(int64_t& cosine, int64_t& sine) const {
    const Circle& c = circle();
    const int shift = 60 - kOne + kLeastOctave + scale / kOctave;
    const int64_t half = int64_t{1} << (shift - 1), size = c.inverse[scale % kOctave];
    cosine = (c.cosine[angle] * size + half) >> shift;
    sine = (c.cosine[(angle + kAngles - kAngles / 4) % kAngles] * size + half) >> shift;
}

int Place::halvings(int size) const {
    return std::max(0, (kOctave - 1 - (scale + kOctave * (kLeastOctave - size) + kOctave / 2)) / kOctave);
}

Box Place::box(int64_t width, int64_t height) const {
    // Half a diagonal of the template, 80 pixels, at a scale that is rounded up to a whole octave's 64th.
    const int64_t reach =
        (int64_t{80} << (kPictureOne + 30 + scale / kOctave + kLeastOctave)) / circle().inverse[scale % kOctave];
    const int64_t cx = centre_x(width), cy = centre_y(height);
    Box box;
    box.left = std::max<int64_t>(0, (cx - reach) >> kPictureOne);
    box.top = std::max<int64_t>(0, (cy - reach) >> kPictureOne);
    box.right = std::max(box.left, std::min(width, ((cx + reach) >> kPictureOne) + 1));
    box.bottom = std::max(box.top, std::min(height, ((cy + reach) >> kPictureOne) + 1));
    return box;
}

void Place::matrix(int64_t width, int64_t height, double out[6], int size) const {
    const double step = std::exp2(static_cast<double>(scale) / kOctave + kLeastOctave - size);
    const double turn = kTurn * angle / kAngles, middle = ((kSide << size) - 1) / 2.0;
    const double a = step * std::cos(turn), b = step * std::sin(turn);
    const double cx = (2.0 * x + 1) * static_cast<double>(width) / (2 * kPositions) - 0.5;
    const double cy = (2.0 * y + 1) * static_cast<double>(height) / (2 * kPositions) - 0.5;
    out[0] = a, out[1] = -b, out[2] = cx - (a - b) * middle;
    out[3] = b, out[4] = a, out[5] = cy - (b + a) * middle;
}

}  // namespace lfic
