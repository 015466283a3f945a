// Where a face layer lies: the similarity transform between the 112 x 112 template and the picture, in integers.
// docs/FORMAT.md has the formulas; lfic/format/place.py states the same for the encoder.
#pragma once
#include <cstdint>

namespace lfic {

inline constexpr int kSide = 112;        // pixels of the template's side
inline constexpr int kOne = 24;          // fraction bits of template coordinates
inline constexpr int kPictureOne = 16;   // and of picture coordinates
inline constexpr int kPositions = 8192;  // of a centre along either side
inline constexpr int kScales = 512, kAngles = 512, kOctave = 64, kLeastOctave = -3;
inline constexpr int kMaxSize = 2;  // a layer has kSide, 2 kSide or 4 kSide pixels a side

// Pixels [left, right) x [top, bottom) of a picture; may be empty.
struct Box {
    int64_t left, top, right, bottom;
    int64_t pixels() const { return (right - left) * (bottom - top); }
};

// x, y 0 .. 8191, scale and angle 0 .. 511.
struct Place {
    int x, y, scale, angle;

    bool valid() const {
        return x >= 0 && x < kPositions && y >= 0 && y < kPositions && scale >= 0 && scale < kScales && angle >= 0 &&
               angle < kAngles;
    }
    // Cosine and sine / scale: what a template coordinate moves by to a picture pixel, in 2^-24.
    void steps(int64_t& cosine, int64_t& sine) const;
    // The template's centre in the picture, in 2^-16 pixels from its left and upper edge.
    int64_t centre_x(int64_t width) const { return ((2 * x + 1) * width) << 2; }
    int64_t centre_y(int64_t height) const { return ((2 * y + 1) * height) << 2; }
    // How often a layer of kSide << size pixels is halved before it is painted: 0 to 3.
    int halvings(int size = 0) const;
    // The pixels that may be painted, clipped to the picture.
    Box box(int64_t width, int64_t height) const;
    // Pixels of a layer of kSide << size -> picture pixels, [2, 3] by rows; integers are pixel centres on both sides.
    // For people: no decoder computes with it.
    void matrix(int64_t width, int64_t height, double out[6], int size = 0) const;
};

}  // namespace lfic
