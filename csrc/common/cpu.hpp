// Vector instructions: what this build can use, what this machine has. Everything that has a SIMD variant asks here.
//
// On x86-64 the library is built for the baseline. Functions marked LFIC_AVX2, LFIC_AVX2_F16C or LFIC_AVX512 use
// more and may be called only where has_avx2(), has_avx2_f16c() and so on say so. On AArch64 every machine has
// NEON. None of the macros is defined where the instructions can't be used, and FMA is never asked for: sums have to be
// the same everywhere.
#pragma once

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <cpuid.h>
#include <immintrin.h>
#define LFIC_AVX2 __attribute__((target("avx2")))
#define LFIC_AVX2_F16C __attribute__((target("avx2,f16c")))
#define LFIC_SHA __attribute__((target("sse4.1,sha")))
#if (defined(__clang__) && __clang_major__ >= 12) || (!defined(__clang__) && __GNUC__ >= 11)
#define LFIC_AVXVNNI __attribute__((target("avx2,avxvnni")))
#endif
#define LFIC_AVX512 __attribute__((target("avx2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))
#elif defined(__aarch64__)
#include <arm_neon.h>
#define LFIC_NEON
#endif

namespace lfic {

inline bool has_avx2() {
#ifdef LFIC_AVX2
    return __builtin_cpu_supports("avx2");
#else
    return false;
#endif
}

// AVX2, and fp16 converted in hardware.
inline bool has_avx2_f16c() {
#ifdef LFIC_AVX2_F16C
    // Read from cpuid itself, as older compilers' __builtin_cpu_supports knows no "f16c".
    static const bool has_f16c = [] {
        unsigned a, b, c, d;
        return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
    }();
    return has_avx2() && has_f16c;
#else
    return false;
#endif
}

// SHA-256 in hardware.
inline bool has_sha() {
#ifdef LFIC_SHA
    static const bool has = [] {
        unsigned a, b, c, d;
        return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA) && __builtin_cpu_supports("sse4.1");
    }();
    return has;
#else
    return false;
#endif
}

// AVX2 with dot products of 16-bit integers (Alder Lake, Zen 5 and later).
inline bool has_avxvnni() {
#ifdef LFIC_AVXVNNI
    static const bool has = [] {
        unsigned a, b, c, d;
        return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1 << 4);
    }();
    return has && has_avx2();
#else
    return false;
#endif
}

// AVX-512 with dot products of 16-bit integers (VNNI: Ice Lake, Zen 4 and later).
inline bool has_avx512() {
#ifdef LFIC_AVX512
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vnni");
#else
    return false;
#endif
}

inline constexpr bool has_neon() {
#ifdef LFIC_NEON
    return true;
#else
    return false;
#endif
}

}  // namespace lfic
