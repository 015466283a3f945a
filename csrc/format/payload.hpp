// The payload of a stream: its symbols and its level map, by the integer context model.
#pragma once
#include <vector>

#include "coder/face.hpp"
#include "format/file.hpp"

namespace lfic {

// symbols: of the kept cells in coding order; levels uint8 [rows, columns] of the grid's regions.
struct Symbols {
    std::vector<int16_t> symbols;
    std::vector<uint8_t> levels;
};

inline Grid grid_of(const Stream& stream) {
    return {stream.rows(), stream.columns(), stream.quality, stream.aligned};
}

// Throws CorruptStream.
Symbols decode_payload(const ContextModel& model, const Stream& stream);
// Only the levels: what the header says, or the head of the payload.
std::vector<uint8_t> decode_levels(const ContextModel& model, const Stream& stream);
// A payload, and the level mode that its stream's header must say. stream: size, quality and aligned are read.
std::vector<uint8_t> encode_payload(const ContextModel& model, const Stream& stream, const Symbols& symbols,
                                    int& level_mode);

}  // namespace lfic
