// The bundled model's decoding half, inside the program.
#pragma once
#include "format/bits.hpp"

namespace lfic {

View embedded_model();

}  // namespace lfic
