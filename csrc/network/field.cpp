#include "network/field.hpp"

#include <utility>

namespace lfic::network {
namespace {

void run_block(const Kernels& kernels, const Block& block, const Field& from, Field& to) {
    const Depthwise& depthwise = block.depthwise;
    const int channels = from.channels, hidden = block.expand.outputs, reach = depthwise.kernel / 2;
    std::ptrdiff_t taps[kMaxTaps + 1];
    int count = 0;
    for (int y = -reach; y <= reach; ++y)
        for (int x = -reach; x <= reach; ++x)
            taps[count++] = y * from.line() + static_cast<std::ptrdiff_t>(x) * channels;
    taps[count] = taps[count - 1];  // with a weight of zero

    AlignedVector<std::int16_t> inside(static_cast<std::size_t>(kChunk * channels));
    AlignedVector<std::int16_t> between(static_cast<std::size_t>(kChunk * hidden));
    const std::int16_t* in[kChunk];
    const std::int16_t* expanded_in[kChunk];
    std::int16_t* expanded[kChunk];
    const std::int16_t* projected_in[kChunk];
    std::int16_t* out[kChunk];
    for (int i = 0; i < kChunk; ++i) {
        expanded_in[i] = inside.data() + i * channels;
        expanded[i] = between.data() + i * hidden;
        projected_in[i] = expanded[i];
    }
    int filled = 0;
    const auto flush = [&] {
        if (!filled) return;
        kernels.depthwise({&depthwise, filled, in, taps, inside.data()});
        kernels.linear({&block.expand, block.expand.bias.data(), filled, expanded_in, whole(channels), expanded,
                        whole(hidden), nullptr});
        kernels.linear(
            {&block.project, block.project.bias.data(), filled, projected_in, whole(hidden), out, whole(channels), in});
        filled = 0;
    };
    for (int n = 0; n < from.count; ++n)
        for (int y = 0; y < from.rows; ++y) {
            const std::int16_t* source = from.at(n, y, 0);
            std::int16_t* target = to.at(n, y, 0);
            for (int x = 0; x < from.columns; ++x, source += channels, target += channels) {
                in[filled] = source;
                out[filled] = target;
                if (++filled == kChunk) flush();
            }
        }
    flush();
}

}  // namespace

void run_stage(const Kernels& kernels, const std::vector<Block>& blocks, Field& field) {
    if (blocks.empty()) return;
    Field other(field.count, field.rows, field.columns, field.channels, field.border);
    for (std::size_t i = 0; i < blocks.size(); ++i)
        i % 2 ? run_block(kernels, blocks[i], other, field) : run_block(kernels, blocks[i], field, other);
    if (blocks.size() % 2) field.swap(other);
}

}  // namespace lfic::network
