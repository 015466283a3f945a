// What the C++ tests are made of: a condition that is counted where it fails, and the errors that calls throw.
#pragma once
#include <cstdio>

namespace lfic {

inline int failures = 0;

template <class Error, class F>
bool throws(F&& f) {
    try {
        f();
    } catch (const Error&) {
        return true;
    }
    return false;
}

}  // namespace lfic

#define CHECK(condition)                                                         \
    do {                                                                         \
        if (!(condition)) {                                                      \
            std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            ++lfic::failures;                                                    \
        }                                                                        \
    } while (0)
