#include <algorithm>
#include <cstring>
#include <string>

#include "common/compiler.hpp"
#include "common/cpu.hpp"
#include "common/threads.hpp"
#include "compose/compose.hpp"
#include "compose/tables.hpp"

namespace lfic {
namespace {

constexpr std::size_t kBand = 32;  // rows that a thread takes at once
constexpr int kMargin = 3;         // pixels beyond an edge: from there on the cubic sees nothing else

int16_t opacity_along(int64_t at) {
    const int64_t distance = std::min(at, (int64_t{kSide} << kOne) - at) >> (kOne - 6);
    return kRamp[static_cast<std::size_t>(std::clamp<int64_t>(distance - kEdgeFrom, 0, kEdge))];
}

// How much of a layer is seen at (u, v): 0 to 256.
int opacity(int64_t u, int64_t v) {
    return (opacity_along(u) * opacity_along(v) + 128) >> 8;
}

// The template coordinates of a row of a layer's box, pixel after pixel. Sums are kept with all their bits.
class Row {
  public:
    Row(const Place& place, int64_t width, int64_t height, int64_t left, int64_t y) {
        place.steps(a_, b_);
        const int64_t half = int64_t{1} << (kPictureOne - 1);
        const int64_t dx = (left << kPictureOne) + half - place.centre_x(width);
        const int64_t dy = (y << kPictureOne) + half - place.centre_y(height);
        u_ = a_ * dx + b_ * dy;
        v_ = a_ * dy - b_ * dx;
    }
    int64_t u() const { return (int64_t{kSide / 2} << kOne) + (u_ >> kPictureOne); }
    int64_t v() const { return (int64_t{kSide / 2} << kOne) + (v_ >> kPictureOne); }
    void next() {
        u_ += a_ * (int64_t{1} << kPictureOne);
        v_ -= b_ * (int64_t{1} << kPictureOne);
    }

  private:
    int64_t a_, b_, u_, v_;
};

// A template, halved so often that a small face does not alias, and laid out for the cubic: each entry holds a pixel
// and its right neighbour, channel by channel, {r, r', g, g', b, b', 0, 0}.
class Template {
  public:
    Template(const uint8_t* pixels, int whole, int halvings) : side_(whole >> halvings), pitch_(side_ + 2 * kMargin) {
        std::vector<uint8_t> small(pixels, pixels + std::size_t{3} * whole * whole);
        for (int side = whole; side > side_; side /= 2) halve(small, side);
        pairs_.resize(static_cast<std::size_t>(pitch_) * pitch_ * 8);
        for (int y = 0; y < pitch_; ++y)
            for (int x = 0; x < pitch_; ++x)
                for (int c = 0; c < 3; ++c)
                    for (int k = 0; k < 2; ++k)
                        pairs_[(static_cast<std::size_t>(y) * pitch_ + x) * 8 + 2 * c + k] =
                            small[(inside(y) * side_ + inside(x + k)) * 3 + c];
    }
    int side() const { return side_; }
    std::ptrdiff_t pitch() const { return std::ptrdiff_t{8} * pitch_; }
    // The pixel before, in both directions, the one at row and column, which may be anywhere.
    const int16_t* before(int64_t row, int64_t column) const {
        const int64_t y = std::clamp<int64_t>(row, 1 - kMargin, side_),
                      x = std::clamp<int64_t>(column, 1 - kMargin, side_);
        return pairs_.data() + ((y - 1 + kMargin) * pitch_ + x - 1 + kMargin) * 8;
    }

  private:
    int inside(int padded) const { return std::clamp(padded - kMargin, 0, side_ - 1); }
    // Means of 2 x 2 pixels, rounded half up.
    static void halve(std::vector<uint8_t>& pixels, int side) {
        const int half = side / 2;
        for (int y = 0; y < half; ++y)
            for (int x = 0; x < half; ++x)
                for (int c = 0; c < 3; ++c) {
                    const uint8_t* p = &pixels[(2 * y * side + 2 * x) * 3 + c];
                    pixels[(y * half + x) * 3 + c] =
                        static_cast<uint8_t>((p[0] + p[3] + p[3 * side] + p[3 * side + 3] + 2) >> 2);
                }
        pixels.resize(static_cast<std::size_t>(half) * half * 3);
    }

    int side_, pitch_;
    std::vector<int16_t> pairs_;
};

// The 4 x 4 pixels from `at` on, weighted: three colours of 0 to 255.
#ifdef LFIC_AVX2
LFIC_AVX2 void sample_avx2(const int16_t* at, std::ptrdiff_t pitch, const int16_t* wy, const int16_t* wx,
                           uint8_t* out) {
    int64_t four;
    std::memcpy(&four, wx, sizeof four);
    const __m128i w = _mm_cvtsi64_si128(four);
    const __m128i left = _mm_shuffle_epi32(w, 0x00), right = _mm_shuffle_epi32(w, 0x55);
    __m128i sum = _mm_set1_epi32(1 << 19);
    for (int k = 0; k < 4; ++k, at += pitch) {
        const __m128i p = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
        const __m128i q = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at + 16));
        const __m128i across = _mm_add_epi32(_mm_madd_epi16(p, left), _mm_madd_epi16(q, right));
        sum = _mm_add_epi32(sum, _mm_mullo_epi32(across, _mm_set1_epi32(wy[k])));
    }
    const __m128i v = _mm_srai_epi32(sum, 20);
    const int packed = _mm_cvtsi128_si32(_mm_packus_epi16(_mm_packs_epi32(v, v), v));
    std::memcpy(out, &packed, sizeof packed);
}
#endif

LFIC_INLINE void sample(const int16_t* at, std::ptrdiff_t pitch, const int16_t* wy, const int16_t* wx, uint8_t* out) {
    int32_t sum[4] = {1 << 19, 1 << 19, 1 << 19, 1 << 19};
    for (int k = 0; k < 4; ++k, at += pitch)
        for (int c = 0; c < 4; ++c)
            sum[c] +=
                (at[2 * c] * wx[0] + at[2 * c + 1] * wx[1] + at[16 + 2 * c] * wx[2] + at[17 + 2 * c] * wx[3]) * wy[k];
    for (int c = 0; c < 4; ++c) out[c] = static_cast<uint8_t>(std::clamp(sum[c] >> 20, 0, 255));
}

struct Job {
    uint8_t* picture;
    int64_t width, height;
    Place place;
    Box box;
    const Template& face;
    int shift;  // from 2^-24 of the template's pixels to 1/64 of those that are painted
};

using Sample = void (*)(const int16_t*, std::ptrdiff_t, const int16_t*, const int16_t*, uint8_t*);

template <Sample sample_by>
LFIC_INLINE void paint_row(const Job& job, int64_t y) {
    uint8_t* to = job.picture + (y * job.width + job.box.left) * 3;
    const int64_t half = int64_t{1} << (job.shift - 1);
    Row at(job.place, job.width, job.height, job.box.left, y);
    for (int64_t x = job.box.left; x < job.box.right; ++x, to += 3, at.next()) {
        const int64_t u = at.u(), v = at.v();
        const int a = opacity(u, v);
        if (a == 0) continue;
        const int64_t i = ((v + half) >> job.shift) - kPhases / 2, j = ((u + half) >> job.shift) - kPhases / 2;
        uint8_t colour[4];
        sample_by(job.face.before(i >> 6, j >> 6), job.face.pitch(), kCubic[i & (kPhases - 1)].data(),
                  kCubic[j & (kPhases - 1)].data(), colour);
        for (int c = 0; c < 3; ++c) to[c] = static_cast<uint8_t>((to[c] * (256 - a) + colour[c] * a + 128) >> 8);
    }
}

void sample_any(const int16_t* at, std::ptrdiff_t pitch, const int16_t* wy, const int16_t* wx, uint8_t* out) {
    sample(at, pitch, wy, wx, out);
}

void paint_row_any(const Job& job, int64_t y) {
    paint_row<sample_any>(job, y);
}
#ifdef LFIC_AVX2
LFIC_AVX2 void paint_row_avx2(const Job& job, int64_t y) {
    paint_row<sample_avx2>(job, y);
}
#endif

void check(const Place& place) {
    if (!place.valid())
        throw InvalidInput("a layer's place is (" + std::to_string(place.x) + ", " + std::to_string(place.y) + ", " +
                           std::to_string(place.scale) + ", " + std::to_string(place.angle) +
                           "); allowed are 0 to 8191 twice and 0 to 511 twice");
}

// row(y) for the rows of a box, over threads.
template <class OneRow>
void rows_of(const Box& box, int threads, const OneRow& row) {
    if (box.pixels() == 0) return;
    parallel(static_cast<std::size_t>(box.bottom - box.top), kBand, thread_count(threads),
             [&](std::size_t first, std::size_t last) {
                 for (std::size_t k = first; k < last; ++k) row(box.top + static_cast<int64_t>(k));
             });
}

}  // namespace

void paint(uint8_t* picture, int64_t width, int64_t height, const Painted& face, int threads) {
    check(face.place);
    const int halvings = face.place.halvings(face.size);
    const Template laid(face.pixels, kSide << face.size, halvings);
    const Job job{
        picture, width, height, face.place, face.place.box(width, height), laid, kOne - 6 + halvings - face.size};
    auto by = &paint_row_any;
#ifdef LFIC_AVX2
    if (has_avx2()) by = &paint_row_avx2;
#endif
    rows_of(job.box, threads, [&](int64_t y) { by(job, y); });
}

void cover(int32_t* left, int64_t width, int64_t height, const Place& place, int threads) {
    check(place);
    const Box box = place.box(width, height);
    rows_of(box, threads, [&](int64_t y) {
        Row at(place, width, height, box.left, y);
        int32_t* to = left + y * width + box.left;
        for (int64_t x = box.left; x < box.right; ++x, ++to, at.next())
            *to = (*to * (256 - opacity(at.u(), at.v())) + 128) >> 8;
    });
}

void compose(const uint8_t* background, int reduction, const std::vector<Painted>& faces, int64_t width, int64_t height,
             uint8_t* picture, int threads) {
    if (background)
        enlarge(background, reduction, width, height, picture, threads);
    else
        std::memset(picture, 128, static_cast<std::size_t>(width * height) * 3);
    for (const Painted& face : faces) paint(picture, width, height, face, threads);
}

}  // namespace lfic
