#include "tools/model.hpp"

// LFIC_DECODER_WEIGHTS is the path of csrc/tools/face-v2-decoder.safetensors. An assembler takes it in as it is; as
// an array in C++ it would take minutes to compile.
#ifdef __APPLE__
#define LFIC_SECTION ".const_data"
#define LFIC_SYMBOL(name) "_" name
#else
#define LFIC_SECTION ".section .rodata"
#define LFIC_SYMBOL(name) name
#endif
__asm__(LFIC_SECTION "\n.balign 64\n.globl " LFIC_SYMBOL("lfic_model_begin") "\n.globl " LFIC_SYMBOL(
    "lfic_model_end") "\n" LFIC_SYMBOL("lfic_model_begin") ":\n.incbin \"" LFIC_DECODER_WEIGHTS
                                                           "\"\n" LFIC_SYMBOL("lfic_model_end") ":\n.text\n");

extern "C" {
extern const uint8_t lfic_model_begin[], lfic_model_end[];
}

namespace lfic {

View embedded_model() {
    return {lfic_model_begin, static_cast<std::size_t>(lfic_model_end - lfic_model_begin)};
}

}  // namespace lfic
