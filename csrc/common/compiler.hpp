// What the hot loops tell the compiler: which way a branch goes, what has to be inlined.
#pragma once

#if defined(__GNUC__) || defined(__clang__)
#define LFIC_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define LFIC_LIKELY(x) __builtin_expect(!!(x), 1)
#define LFIC_INLINE inline __attribute__((always_inline))
#else
#define LFIC_UNLIKELY(x) (x)
#define LFIC_LIKELY(x) (x)
#define LFIC_INLINE inline
#endif
