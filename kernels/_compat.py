"""Triton without needing it: what the kernel files share, and whether they can be used here."""

import functools
import importlib.util
import os


@functools.cache
def has_triton():
    """Whether triton is installed; without it everything runs on the CPU all the same."""
    return importlib.util.find_spec("triton") is not None


def interpreted():
    """Whether kernels run under Triton's interpreter (TRITON_INTERPRET=1 when triton was first imported)."""
    return os.environ.get("TRITON_INTERPRET", "0") == "1"


if has_triton():
    import triton
    import triton.language as tl

    @triton.jit
    def round_half_even(x):
        """float32 of at most 2**22 in size -> the nearest integer, halves to even.

        Adding 1.5 * 2**23 leaves no bits below one: the addition's own rounding does it, the same on every device.
        libdevice's rint gives nothing under the interpreter.
        """
        return (x + 12582912.0) - 12582912.0

    INTERPRETED = tl.constexpr(interpreted())

    @triton.jit
    def store_float(at, value, mask):
        """Store float32 as the type pointed to, round half to even.

        The interpreter truncates float32 -> bfloat16: there the rounding is done on the bits first.
        """
        if INTERPRETED and at.dtype.element_ty == tl.bfloat16:
            bits = value.to(tl.uint32, bitcast=True)
            rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
            value = tl.where(value == value, rounded.to(tl.float32, bitcast=True), value)
        tl.store(at, value.to(at.dtype.element_ty), mask)

    @triton.jit
    def noise_words(seed_pointer, block, like):
        """Four uint32 of Philox 4x32-10 for an int64 counter, the key at a pointer; see reference.uniform_noise.

        like: float32 tile that was loaded. Nothing of its value enters; adding a zero made of it ties the counter to
        the layout of the loads, otherwise every word would cross shared memory on its way to the store.
        """
        nothing = (like.to(tl.uint32, bitcast=True) >> 31) >> 1
        low = block.to(tl.uint32) + nothing
        return tl.philox(tl.load(seed_pointer), low, (block >> 32).to(tl.uint32) + nothing, low * 0, low * 0)

    @triton.jit
    def centred(word):
        """uint32 -> float32 in [-1/2, 1/2), exact: the upper 24 bits / 2**24 - 1/2."""
        return (word >> 8).to(tl.int32).to(tl.float32) * 5.9604644775390625e-08 - 0.5
