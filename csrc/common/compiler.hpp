// What the hot loops tell the compiler: which way a branch goes, what has to be inlined, what is read once.
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

namespace lfic {

// A value that another thread may change: read once, so that what was checked is what is used.
template <class T>
LFIC_INLINE T read_once(const T& value) {
    return *const_cast<const volatile T*>(&value);
}

}  // namespace lfic
