#include "network/pack.hpp"

#include <algorithm>
#include <cstdlib>

#include "common/errors.hpp"
#include "common/sizes.hpp"

namespace lfic::network {
namespace {

const char* type_name(Type type) {
    switch (type) {
        case Type::u8: return "uint8";
        case Type::i16: return "int16";
        case Type::i32: return "int32";
        case Type::f32: return "float32";
    }
    return "unknown";
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
    std::string out = "[";
    for (std::size_t i = 0; i < shape.size(); ++i)
        out += (i ? ", " : "") + (shape[i] < 0 ? std::string("any") : std::to_string(shape[i]));
    return out + "]";
}

// The partial sums that one output's terms can have, in whatever order they are added.
class Extent {
  public:
    // Of all weights; the inner loop is one that compilers turn into vectors.
    Extent(const std::int16_t* weights, std::size_t count, const Span& source) {
        constexpr std::size_t kExact = 1 << 16;  // so many weights leave no int32
        std::int64_t above = 0, below = 0;
        for (std::size_t i = 0; i < count; i += kExact) {
            std::int32_t up = 0, down = 0;
            for (std::size_t k = i; k < std::min(count, i + kExact); ++k) {
                up += std::max<std::int32_t>(weights[k], 0);
                down += std::min<std::int32_t>(weights[k], 0);
            }
            above += up, below += down;
        }
        const std::int64_t low = std::min<std::int32_t>(source.low, 0), high = std::max<std::int32_t>(source.high, 0);
        most_ = above * high + below * low;
        least_ = above * low + below * high;
    }
    bool fits(std::int64_t bias) const {
        return most_ + std::max<std::int64_t>(bias, 0) < kWord && least_ + std::min<std::int64_t>(bias, 0) >= -kWord;
    }

  private:
    std::int64_t most_, least_;
};

[[noreturn]] void leaves_word(const std::string& layer, int output) {
    throw InvalidInput(layer + ": sums of output " + std::to_string(output) + " could leave 32 bits");
}

void check_shifts(const std::string& layer, const std::vector<std::uint8_t>& shift) {
    for (const std::uint8_t s : shift)
        if (s > 31) throw InvalidInput(layer + ".shift holds " + std::to_string(s) + "; allowed are 0 to 31");
}

constexpr int rounded_up(int value, int to) {
    return (value + to - 1) / to * to;
}

}  // namespace

Order by_place(int channels, int side) {
    const int places = side * side;
    return [channels, places](int k) { return k % channels * places + k / channels; };
}

Span silu_span(int unit, std::int32_t high) {
    // SiLU is never below -0.2785, and the approximation nearly so.
    return {-((9126 << unit >> 15) + 2), high};
}

bool Reader::has(const std::string& name) const {
    return tensors_.count("integers." + name) != 0;
}

const Tensor& Reader::tensor(const std::string& name, Type type, const std::vector<std::int64_t>& shape) const {
    const auto found = tensors_.find("integers." + name);
    if (found == tensors_.end()) throw InvalidInput("the weights have no tensor integers." + name);
    const Tensor& tensor = found->second;
    bool same = tensor.shape.size() == shape.size();
    for (std::size_t i = 0; same && i < shape.size(); ++i)
        same = shape[i] < 0 ? tensor.shape[i] > 0 && tensor.shape[i] < (1 << 16) : tensor.shape[i] == shape[i];
    if (tensor.type != type || !same)
        throw InvalidInput("integers." + name + " is " + type_name(tensor.type) + " " + shape_text(tensor.shape) +
                           "; needed is " + type_name(type) + " " + shape_text(shape));
    return tensor;
}

int Reader::outputs(const std::string& layer) const {
    return static_cast<int>(tensor(layer + ".weight", Type::i16, {-1, -1, -1, -1}).shape[0]);
}

Span Reader::range(const std::string& layer) const {
    const auto ends = values<std::int16_t>(layer + ".range", Type::i16, {2});
    if (ends[0] > ends[1] || ends[0] < -32767)
        throw InvalidInput("integers." + layer + ".range is " + std::to_string(ends[0]) + " to " +
                           std::to_string(ends[1]) + "; it has to rise, from -32767 at least");
    return {ends[0], ends[1]};
}

int Reader::unit(const std::string& layer) const {
    const int found = values<std::uint8_t>(layer + ".unit", Type::u8, {1})[0];
    if (found < 4 || found > 14)
        throw InvalidInput("integers." + layer + ".unit is " + std::to_string(found) + "; allowed are 4 to 14");
    return found;
}

Linear Reader::linear(const std::string& layer, int inputs, const Span& source, bool silu, const Order& from,
                      const Order& to) const {
    const Tensor& weight = tensor(layer + ".weight", Type::i16, {-1, -1, -1, -1});
    const int outputs = static_cast<int>(weight.shape[0]);
    const int found = static_cast<int>(weight.shape[1] * weight.shape[2] * weight.shape[3]);
    if (found != inputs || inputs % 2)
        throw InvalidInput("integers." + layer + ".weight has " + std::to_string(found) + " inputs; needed is " +
                           std::to_string(inputs) + ", an even number");
    const auto shift = values<std::uint8_t>(layer + ".shift", Type::u8, {outputs});
    check_shifts(layer, shift);
    Linear out;
    const auto bias_tensor = tensors_.find("integers." + layer + ".bias");
    const bool by_quality = bias_tensor != tensors_.end() && bias_tensor->second.shape.size() == 2;
    out.rows = by_quality ? kQualities : 1;
    const auto bias = by_quality ? values<std::int32_t>(layer + ".bias", Type::i32, {kQualities, outputs})
                                 : values<std::int32_t>(layer + ".bias", Type::i32, {outputs});
    const Span ends = range(layer);
    out.low = static_cast<std::int16_t>(ends.low);
    out.high = static_cast<std::int16_t>(ends.high);
    if (silu) out.unit = unit(layer);
    out.outputs = rounded_up(outputs, kPanel);
    out.inputs = inputs;
    const std::size_t wide = static_cast<std::size_t>(out.outputs), k = static_cast<std::size_t>(inputs);
    out.weights.assign(wide * k, 0);
    out.bias.assign(wide * static_cast<std::size_t>(out.rows), 0);
    out.shift.assign(wide, 0);
    std::vector<std::size_t> column(k);
    for (int i = 0; i < inputs; ++i) column[static_cast<std::size_t>(i)] = static_cast<std::size_t>(from(i));
    const std::int16_t* values = static_cast<const std::int16_t*>(weight.data);
    const std::vector<std::int16_t> nothing(k, 0);
    for (int first = 0; first < out.outputs; first += kPanel) {
        const std::int16_t* rows[kPanel];
        for (int lane = 0; lane < kPanel; ++lane) {
            rows[lane] = nothing.data();
            const int in_memory = first + kernels_.order[lane];
            if (in_memory >= outputs) continue;
            const int number = to(in_memory);
            rows[lane] = values + static_cast<std::ptrdiff_t>(number) * inputs;
            const Extent extent(rows[lane], k, source);
            for (int r = 0; r < out.rows; ++r) {
                const std::int32_t b = bias[static_cast<std::size_t>(r * outputs + number)];
                if (!extent.fits(b)) leaves_word(layer, number);
                out.bias[static_cast<std::size_t>(r * out.outputs + first + lane)] = b;
            }
            out.shift[static_cast<std::size_t>(first + lane)] = shift[static_cast<std::size_t>(number)];
        }
        std::int16_t* packed = out.weights.data() + static_cast<std::ptrdiff_t>(first) * inputs;
        for (std::size_t i = 0; i < k; i += 2)
            for (const std::int16_t* const row : rows) {
                *packed++ = row[column[i]];
                *packed++ = row[column[i + 1]];
            }
    }
    return out;
}

Depthwise Reader::depthwise(const std::string& layer, int channels, const Span& source) const {
    const Tensor& weight = tensor(layer + ".weight", Type::i16, {channels, 1, -1, -1});
    const int kernel = static_cast<int>(weight.shape[2]);
    if (weight.shape[3] != kernel || (kernel != 3 && kernel != 5))
        throw InvalidInput("integers." + layer + ".weight has a kernel of " + shape_text(weight.shape) +
                           "; allowed are 3 x 3 and 5 x 5");
    const int lanes = kernels_.depthwise_block, taps = kernel * kernel, pairs = (taps + 1) / 2;
    if (channels % kPanel)
        throw InvalidInput(layer + " has " + std::to_string(channels) + " channels; allowed are multiples of 16");
    const auto bias = values<std::int32_t>(layer + ".bias", Type::i32, {channels});
    const auto shift = values<std::uint8_t>(layer + ".shift", Type::u8, {channels});
    check_shifts(layer, shift);
    const Span ends = range(layer);
    Depthwise out;
    out.channels = channels;
    out.kernel = kernel;
    out.low = static_cast<std::int16_t>(ends.low);
    out.high = static_cast<std::int16_t>(ends.high);
    out.weights.assign(static_cast<std::size_t>(channels * pairs * 2), 0);
    out.bias.assign(static_cast<std::size_t>(channels), 0);
    out.shift.assign(static_cast<std::size_t>(channels), 0);
    const std::int16_t* values = static_cast<const std::int16_t*>(weight.data);
    for (int c = 0; c < channels; ++c) {
        const int block = c / lanes * lanes, number = block + kernels_.depthwise_order[c - block];
        const std::size_t at = static_cast<std::size_t>(c), from = static_cast<std::size_t>(number);
        const std::int16_t* const own = values + static_cast<std::ptrdiff_t>(number) * taps;
        for (int t = 0; t < taps; ++t)
            out.weights[static_cast<std::size_t>((block * pairs + t / 2 * lanes + (c - block)) * 2 + t % 2)] = own[t];
        const Extent extent(own, static_cast<std::size_t>(taps), source);
        if (!extent.fits(bias[from])) leaves_word(layer, number);
        out.bias[at] = bias[from];
        out.shift[at] = shift[from];
    }
    return out;
}

std::vector<Block> Reader::stage(const std::string& stage, int channels, const Span& stream) const {
    std::vector<Block> blocks;
    for (int i = 0; has(stage + "." + std::to_string(i) + ".expand.weight"); ++i) {
        const std::string name = stage + "." + std::to_string(i);
        const int hidden = outputs(name + ".expand");
        Block block;
        block.depthwise = depthwise(name + ".depthwise", channels, stream);
        block.expand = linear(name + ".expand", channels, range(name + ".depthwise"), true);
        block.project = linear(name + ".project", hidden, silu_span(block.expand.unit, block.expand.high));
        if (block.project.outputs != channels || hidden % kPanel)
            throw InvalidInput(name + " makes " + std::to_string(block.project.outputs) + " channels by " +
                               std::to_string(hidden) + "; needed are " + std::to_string(channels) +
                               ", and a multiple of 16 between");
        const Span ends = range(name + ".project");
        if (ends.low < stream.low || ends.high > stream.high)
            throw InvalidInput(name + ".project has a wider range than the stream that it adds to");
        blocks.push_back(std::move(block));
    }
    return blocks;
}

}  // namespace lfic::network
