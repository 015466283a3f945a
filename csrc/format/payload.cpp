#include "format/payload.hpp"

#include <algorithm>

namespace lfic {
namespace {

// The levels that a header says, or room for those that the payload says.
std::vector<uint8_t> said_levels(const Grid& grid, const Stream& stream) {
    const auto regions = static_cast<std::size_t>(grid.rows()) * static_cast<std::size_t>(grid.columns());
    return std::vector<uint8_t>(regions, static_cast<uint8_t>(stream.level_mode == kCodedMap ? 0 : stream.level_mode));
}

}  // namespace

Symbols decode_payload(const ContextModel& model, const Stream& stream) {
    const Grid grid = grid_of(stream);
    const std::size_t bound = static_cast<std::size_t>(grid.height) * static_cast<std::size_t>(grid.width) *
                              static_cast<std::size_t>(model.channels());
    check_bound(model, grid, bound);
    Symbols out{{}, said_levels(grid, stream)};
    out.symbols = decode_face(
        model, {grid, stream.payload.data, stream.payload.size, out.levels.data(), stream.level_mode == kCodedMap},
        bound);
    return out;
}

std::vector<uint8_t> decode_levels(const ContextModel& model, const Stream& stream) {
    const Grid grid = grid_of(stream);
    model.check(grid);
    std::vector<uint8_t> levels = said_levels(grid, stream);
    if (stream.level_mode == kCodedMap)
        decode_face_levels(model, {grid, stream.payload.data, stream.payload.size, levels.data(), true});
    return levels;
}

std::vector<uint8_t> encode_payload(const ContextModel& model, const Stream& stream, const Symbols& symbols,
                                    int& level_mode) {
    const uint8_t first = symbols.levels.front();
    const bool uniform =
        std::all_of(symbols.levels.begin(), symbols.levels.end(), [&](uint8_t l) { return l == first; });
    level_mode = uniform ? first : kCodedMap;
    std::vector<uint8_t> out;
    encode_face(
        model, {grid_of(stream), symbols.levels.data(), symbols.symbols.data(), symbols.symbols.size(), !uniform}, out);
    return out;
}

}  // namespace lfic
