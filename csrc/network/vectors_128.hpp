// Vectors of 128 bits for kernels_body.hpp: NEON and WebAssembly.

inline constexpr int kPixels = 4, kPanels = 1, kSums = 4, kHalves = 2, kLanes = 8;
inline constexpr int kOrder[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
inline constexpr const int* kDepthwiseOrder = kOrder;

#if defined(LFIC_NEON)
using I16 = int16x8_t;
using Sums = int32x4_t;
// Two taps or inputs of four outputs: the products of each are added by themselves.
struct Weights {
    int16x4_t a, b;
};
struct Pair {
    std::int16_t a, b;
};
LFIC_INLINE I16 splat16(int x) {
    return vdupq_n_s16(static_cast<std::int16_t>(x));
}
LFIC_INLINE I16 load16(const std::int16_t* p) {
    return vld1q_s16(p);
}
LFIC_INLINE void store16(std::int16_t* p, I16 x) {
    vst1q_s16(p, x);
}
LFIC_INLINE I16 abs16(I16 x) {
    return vabsq_s16(x);
}
LFIC_INLINE I16 min16(I16 a, I16 b) {
    return vminq_s16(a, b);
}
LFIC_INLINE I16 max16(I16 a, I16 b) {
    return vmaxq_s16(a, b);
}
LFIC_INLINE I16 and16(I16 a, I16 b) {
    return vandq_s16(a, b);
}
LFIC_INLINE I16 add16(I16 a, I16 b) {
    return vaddq_s16(a, b);
}
LFIC_INLINE I16 subtract16(I16 a, I16 b) {
    return vsubq_s16(a, b);
}
LFIC_INLINE I16 add_saturated(I16 a, I16 b) {
    return vqaddq_s16(a, b);
}
LFIC_INLINE I16 shift_left(I16 x, int bits) {
    return vshlq_s16(x, vdupq_n_s16(static_cast<std::int16_t>(bits)));
}
LFIC_INLINE I16 shift_right(I16 x, int bits) {
    return vshlq_s16(x, vdupq_n_s16(static_cast<std::int16_t>(-bits)));
}
LFIC_INLINE I16 multiply_round(I16 a, I16 b) {
    return vqrdmulhq_s16(a, b);
}
LFIC_INLINE I16 lookup(const std::int16_t* table, I16 index) {
    const uint8x16_t all = vreinterpretq_u8_s16(vld1q_s16(table));
    const I16 bytes = vaddq_s16(vmulq_s16(index, splat16(0x0202)), splat16(0x0100));
    return vreinterpretq_s16_u8(vqtbl1q_u8(all, vreinterpretq_u8_s16(bytes)));
}
LFIC_INLINE Sums load_sums(const std::int32_t* p) {
    return vld1q_s32(p);
}
LFIC_INLINE void load_weights(const std::int16_t* p, Weights* w) {
    const int16x8x2_t first = vld2q_s16(p), second = vld2q_s16(p + 16);
    w[0] = {vget_low_s16(first.val[0]), vget_low_s16(first.val[1])};
    w[1] = {vget_high_s16(first.val[0]), vget_high_s16(first.val[1])};
    w[2] = {vget_low_s16(second.val[0]), vget_low_s16(second.val[1])};
    w[3] = {vget_high_s16(second.val[0]), vget_high_s16(second.val[1])};
}
LFIC_INLINE Pair load_pair(const std::int16_t* p) {
    return {p[0], p[1]};
}
LFIC_INLINE Sums dot(Sums sums, Weights w, Pair x) {
    return vmlal_n_s16(vmlal_n_s16(sums, w.a, x.a), w.b, x.b);
}
LFIC_INLINE Sums shifted(Sums x, const std::int32_t* shift) {
    return vshlq_s32(x, vnegq_s32(vld1q_s32(shift)));
}
LFIC_INLINE I16 packed(Sums a, Sums b) {
    return vcombine_s16(vqmovn_s32(a), vqmovn_s32(b));
}
struct Spread {
    Sums low, high;
};
LFIC_INLINE void dot_spread(Spread& sums, I16 a, I16 b, const std::int16_t* w) {
    const int16x8x2_t taps = vld2q_s16(w);
    sums.low = vmlal_s16(vmlal_s16(sums.low, vget_low_s16(a), vget_low_s16(taps.val[0])), vget_low_s16(b),
                         vget_low_s16(taps.val[1]));
    sums.high = vmlal_high_s16(vmlal_high_s16(sums.high, a, taps.val[0]), b, taps.val[1]);
}
#elif defined(LFIC_WASM)
using I16 = v128_t;
using Sums = v128_t;
using Weights = v128_t;
using Pair = v128_t;
LFIC_INLINE I16 splat16(int x) {
    return wasm_i16x8_splat(static_cast<std::int16_t>(x));
}
LFIC_INLINE I16 load16(const std::int16_t* p) {
    return wasm_v128_load(p);
}
LFIC_INLINE void store16(std::int16_t* p, I16 x) {
    wasm_v128_store(p, x);
}
LFIC_INLINE I16 abs16(I16 x) {
    return wasm_i16x8_abs(x);
}
LFIC_INLINE I16 min16(I16 a, I16 b) {
    return wasm_i16x8_min(a, b);
}
LFIC_INLINE I16 max16(I16 a, I16 b) {
    return wasm_i16x8_max(a, b);
}
LFIC_INLINE I16 and16(I16 a, I16 b) {
    return wasm_v128_and(a, b);
}
LFIC_INLINE I16 add16(I16 a, I16 b) {
    return wasm_i16x8_add(a, b);
}
LFIC_INLINE I16 subtract16(I16 a, I16 b) {
    return wasm_i16x8_sub(a, b);
}
LFIC_INLINE I16 add_saturated(I16 a, I16 b) {
    return wasm_i16x8_add_sat(a, b);
}
LFIC_INLINE I16 shift_left(I16 x, int bits) {
    return wasm_i16x8_shl(x, bits);
}
LFIC_INLINE I16 shift_right(I16 x, int bits) {
    return wasm_i16x8_shr(x, bits);
}
LFIC_INLINE I16 multiply_round(I16 a, I16 b) {
    return wasm_i16x8_q15mulr_sat(a, b);
}
LFIC_INLINE I16 lookup(const std::int16_t* table, I16 index) {
    const I16 bytes = add16(wasm_i16x8_mul(index, splat16(0x0202)), splat16(0x0100));
    return wasm_i8x16_swizzle(wasm_v128_load(table), bytes);
}
LFIC_INLINE Sums load_sums(const std::int32_t* p) {
    return wasm_v128_load(p);
}
LFIC_INLINE void load_weights(const std::int16_t* p, Weights* w) {
    for (int v = 0; v < kSums; ++v) w[v] = wasm_v128_load(p + 8 * v);
}
LFIC_INLINE Pair load_pair(const std::int16_t* p) {
    return wasm_v128_load32_splat(p);
}
LFIC_INLINE Sums dot(Sums sums, Weights w, Pair x) {
    return wasm_i32x4_add(sums, wasm_i32x4_dot_i16x8(w, x));
}
// There is no shift by lanes: by 16, 8, 4, 2 and 1, each where the lane's count has that bit.
LFIC_INLINE Sums shifted(Sums x, const std::int32_t* shift) {
    const v128_t counts = wasm_v128_load(shift);
    for (int bits = 16; bits; bits >>= 1) {
        const v128_t bit = wasm_i32x4_splat(bits);
        x = wasm_v128_bitselect(wasm_i32x4_shr(x, bits), x, wasm_i32x4_eq(wasm_v128_and(counts, bit), bit));
    }
    return x;
}
LFIC_INLINE I16 packed(Sums a, Sums b) {
    return wasm_i16x8_narrow_i32x4(a, b);
}
struct Spread {
    Sums low, high;
};
LFIC_INLINE void dot_spread(Spread& sums, I16 a, I16 b, const std::int16_t* w) {
    sums.low = dot(sums.low, load16(w), wasm_i16x8_shuffle(a, b, 0, 8, 1, 9, 2, 10, 3, 11));
    sums.high = dot(sums.high, load16(w + 8), wasm_i16x8_shuffle(a, b, 4, 12, 5, 13, 6, 14, 7, 15));
}
#endif

LFIC_INLINE void narrow(const Sums* sums, const std::int32_t* shift, I16* out) {
    for (int h = 0; h < kHalves; ++h)
        out[h] = packed(shifted(sums[2 * h], shift + 8 * h), shifted(sums[2 * h + 1], shift + 8 * h + 4));
}
LFIC_INLINE void load_spread(const std::int32_t* p, Spread& sums) {
    sums = {load_sums(p), load_sums(p + 4)};
}
LFIC_INLINE I16 narrow_spread(const Spread& sums, const std::int32_t* shift) {
    return packed(shifted(sums.low, shift), shifted(sums.high, shift + 4));
}
