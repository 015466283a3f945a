// Memory that begins where a cache line does, and is not cleared before it is written.
#pragma once
#include <cstddef>
#include <cstdlib>
#include <new>
#include <vector>

namespace lfic::network {

inline constexpr std::size_t kLine = 64;

template <class T>
struct AlignedAllocator {
    using value_type = T;
    AlignedAllocator() = default;
    template <class U>
    AlignedAllocator(const AlignedAllocator<U>&) {}
    T* allocate(std::size_t count) {
        return static_cast<T*>(::operator new(count * sizeof(T), std::align_val_t{kLine}));
    }
    void deallocate(T* p, std::size_t) { ::operator delete(p, std::align_val_t{kLine}); }
    template <class U>
    void construct(U* p) {
        ::new (static_cast<void*>(p)) U;
    }
    template <class U, class A>
    void construct(U* p, const A& a) {
        ::new (static_cast<void*>(p)) U(a);
    }
    bool operator==(const AlignedAllocator&) const { return true; }
    bool operator!=(const AlignedAllocator&) const { return false; }
};

template <class T>
using AlignedVector = std::vector<T, AlignedAllocator<T>>;

}  // namespace lfic::network
