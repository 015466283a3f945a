#include <cstring>
#include <string>

#include "common/compiler.hpp"
#include "common/cpu.hpp"
#include "common/errors.hpp"
#include "network/layers.hpp"

#if defined(__wasm_simd128__)
#include <wasm_simd128.h>
#define LFIC_WASM
#endif

#if defined(__GNUC__) && !defined(__clang__)
// GCC 12's own headers make what they call undefined vectors out of uninitialised ones.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

namespace lfic::network {
namespace {

// sigmoid(-u) in 2^-15 for u in [i, i + 1): kSigmoid[0][i] + kSigmoid[1][i] f + kSigmoid[2][i] f^2 + kSigmoid[3][i]
// f^3, minimax; in the last interval what remains at 8 fades to zero.
alignas(16) constexpr std::int16_t kSigmoid[4][8] = {{16384, 8813, 3906, 1554, 590, 219, 81, 30},
                                                     {-8222, -6469, -3438, -1473, -576, -217, -80, -40},
                                                     {138, 1637, 1303, 638, 261, 101, 36, 13},
                                                     {512, -74, -217, -130, -56, -22, -7, -3}};

namespace scalar {
#define LFIC_TARGET
// clang-format off
#include "network/vectors_scalar.hpp"
#include "network/kernels_body.hpp"
// clang-format on
#undef LFIC_TARGET
const Kernels kernels = {"scalar", linear, depthwise, kOrder, kDepthwiseOrder, kLanes};
}  // namespace scalar

#ifdef LFIC_AVX2
namespace avx2 {
#define LFIC_TARGET LFIC_AVX2
#define LFIC_DOT(sums, w, x) _mm256_add_epi32(sums, _mm256_madd_epi16(w, x))
// clang-format off
#include "network/vectors_avx2.hpp"
#include "network/vectors_avx2_sums.hpp"
#include "network/kernels_body.hpp"
// clang-format on
#undef LFIC_DOT
#undef LFIC_TARGET
const Kernels kernels = {"avx2", linear, depthwise, kOrder, kDepthwiseOrder, kLanes};
}  // namespace avx2
#endif

#ifdef LFIC_AVXVNNI
namespace avxvnni {
#define LFIC_TARGET LFIC_AVXVNNI
#define LFIC_DOT(sums, w, x) _mm256_dpwssd_avx_epi32(sums, w, x)
// clang-format off
#include "network/vectors_avx2.hpp"
#include "network/vectors_avx2_sums.hpp"
#include "network/kernels_body.hpp"
// clang-format on
#undef LFIC_DOT
#undef LFIC_TARGET
const Kernels kernels = {"avxvnni", linear, depthwise, kOrder, kDepthwiseOrder, kLanes};
}  // namespace avxvnni
#endif

#ifdef LFIC_AVX512
namespace avx512 {
#define LFIC_TARGET LFIC_AVX512
#define LFIC_DOT(sums, w, x) _mm256_dpwssd_epi32(sums, w, x)
// clang-format off
#include "network/vectors_avx2.hpp"
#include "network/vectors_avx512_sums.hpp"
#include "network/kernels_body.hpp"
// clang-format on
#undef LFIC_DOT
#undef LFIC_TARGET
const Kernels kernels = {"avx512", linear, depthwise, kOrder, kDepthwiseOrder, kLanes};
}  // namespace avx512
#endif

#if defined(LFIC_NEON) || defined(LFIC_WASM)
namespace narrow128 {
#define LFIC_TARGET
// clang-format off
#include "network/vectors_128.hpp"
#include "network/kernels_body.hpp"
// clang-format on
#undef LFIC_TARGET
#ifdef LFIC_NEON
const Kernels kernels = {"neon", linear, depthwise, kOrder, kDepthwiseOrder, kLanes};
#else
const Kernels kernels = {"wasm", linear, depthwise, kOrder, kDepthwiseOrder, kLanes};
#endif
}  // namespace narrow128
#endif

}  // namespace

const Kernels& kernels_named(const char* name) {
    const std::string wanted = name;
    const bool any = wanted == "auto";
    if (!any && wanted != "scalar" && wanted != "avx2" && wanted != "avxvnni" && wanted != "avx512" &&
        wanted != "neon" && wanted != "wasm")
        throw InvalidInput("simd is '" + wanted + "'; allowed are auto, scalar, avx2, avxvnni, avx512, neon, wasm");
#ifdef LFIC_AVX512
    if ((any || wanted == "avx512") && has_avx512()) return avx512::kernels;
#endif
#ifdef LFIC_AVXVNNI
    if ((any || wanted == "avxvnni") && has_avxvnni()) return avxvnni::kernels;
#endif
#ifdef LFIC_AVX2
    if ((any || wanted == "avx2") && has_avx2()) return avx2::kernels;
#endif
#if defined(LFIC_NEON) || defined(LFIC_WASM)
    if (any || wanted == narrow128::kernels.name) return narrow128::kernels;
#endif
    if (any || wanted == "scalar") return scalar::kernels;
    throw InvalidInput("this machine has no " + wanted + "; simd='auto' takes what it has");
}

}  // namespace lfic::network
