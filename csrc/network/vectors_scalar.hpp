// Vectors for kernels_body.hpp without vector instructions: the reference of all others.

inline constexpr int kPixels = 4, kPanels = 1, kSums = 1, kHalves = 1, kLanes = 16;
inline constexpr int kOrder[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
inline constexpr const int* kDepthwiseOrder = kOrder;

struct I16 {
    std::int16_t v[16];
};
struct Sums {
    std::int32_t v[16];
};
using Spread = Sums;
struct Weights {
    const std::int16_t* v;
};
struct Pair {
    std::int16_t a, b;
};

inline std::int16_t clamp16(std::int32_t x) {
    return static_cast<std::int16_t>(x < -32768 ? -32768 : x > 32767 ? 32767 : x);
}
template <class F>
LFIC_INLINE I16 each(const F& f) {
    I16 out;
    for (int i = 0; i < 16; ++i) out.v[i] = static_cast<std::int16_t>(f(i));
    return out;
}
LFIC_INLINE I16 splat16(int x) {
    return each([&](int) { return x; });
}
LFIC_INLINE I16 load16(const std::int16_t* p) {
    return each([&](int i) { return p[i]; });
}
LFIC_INLINE void store16(std::int16_t* p, const I16& x) {
    for (int i = 0; i < 16; ++i) p[i] = x.v[i];
}
LFIC_INLINE I16 abs16(const I16& x) {
    return each([&](int i) { return x.v[i] < 0 ? -x.v[i] : x.v[i]; });
}
LFIC_INLINE I16 min16(const I16& a, const I16& b) {
    return each([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
LFIC_INLINE I16 max16(const I16& a, const I16& b) {
    return each([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
LFIC_INLINE I16 and16(const I16& a, const I16& b) {
    return each([&](int i) { return a.v[i] & b.v[i]; });
}
LFIC_INLINE I16 add16(const I16& a, const I16& b) {
    return each([&](int i) { return a.v[i] + b.v[i]; });
}
LFIC_INLINE I16 subtract16(const I16& a, const I16& b) {
    return each([&](int i) { return a.v[i] - b.v[i]; });
}
LFIC_INLINE I16 add_saturated(const I16& a, const I16& b) {
    return each([&](int i) { return clamp16(a.v[i] + b.v[i]); });
}
LFIC_INLINE I16 shift_left(const I16& x, int bits) {
    return each([&](int i) { return x.v[i] * (1 << bits); });
}
LFIC_INLINE I16 shift_right(const I16& x, int bits) {
    return each([&](int i) { return x.v[i] >> bits; });
}
LFIC_INLINE I16 multiply_round(const I16& a, const I16& b) {
    return each([&](int i) { return (a.v[i] * b.v[i] + (1 << 14)) >> 15; });
}
LFIC_INLINE I16 lookup(const std::int16_t* table, const I16& index) {
    return each([&](int i) { return table[index.v[i]]; });
}
LFIC_INLINE Sums load_sums(const std::int32_t* p) {
    Sums out;
    for (int i = 0; i < 16; ++i) out.v[i] = p[i];
    return out;
}
LFIC_INLINE void load_weights(const std::int16_t* p, Weights* w) {
    w->v = p;
}
LFIC_INLINE Pair load_pair(const std::int16_t* p) {
    return {p[0], p[1]};
}
LFIC_INLINE Sums dot(const Sums& sums, const Weights& w, const Pair& x) {
    Sums out;
    for (int i = 0; i < 16; ++i) out.v[i] = sums.v[i] + (w.v[2 * i] * x.a + w.v[2 * i + 1] * x.b);
    return out;
}
LFIC_INLINE void narrow(const Sums* sums, const std::int32_t* shift, I16* out) {
    *out = each([&](int i) { return clamp16(sums->v[i] >> shift[i]); });
}
LFIC_INLINE void load_spread(const std::int32_t* p, Spread& sums) {
    sums = load_sums(p);
}
LFIC_INLINE void dot_spread(Spread& sums, const I16& a, const I16& b, const std::int16_t* w) {
    for (int i = 0; i < 16; ++i) sums.v[i] += w[2 * i] * a.v[i] + w[2 * i + 1] * b.v[i];
}
LFIC_INLINE I16 narrow_spread(const Spread& sums, const std::int32_t* shift) {
    I16 out;
    narrow(&sums, shift, &out);
    return out;
}
