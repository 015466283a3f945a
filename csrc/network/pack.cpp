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
    void add(std::int32_t weight, const Span& source) {
        const std::int64_t a = std::int64_t{weight} * source.low, b = std::int64_t{weight} * source.high;
        most_ += std::max<std::int64_t>({a, b, 0});
        least_ += std::min<std::int64_t>({a, b, 0});
    }
    bool fits(std::int64_t bias) const {
        return most_ + std::max<std::int64_t>(bias, 0) < kWord && least_ + std::min<std::int64_t>(bias, 0) >= -kWord;
    }

  private:
    std::int64_t most_ = 0, least_ = 0;
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
    if (silu) {
        out.unit = values<std::uint8_t>(layer + ".unit", Type::u8, {1})[0];
        if (out.unit < 4 || out.unit > 14)
            throw InvalidInput("integers." + layer + ".unit is " + std::to_string(out.unit) + "; allowed are 4 to 14");
    }
    out.outputs = rounded_up(outputs, kPanel);
    out.inputs = inputs;
    const std::size_t wide = static_cast<std::size_t>(out.outputs), k = static_cast<std::size_t>(inputs);
    out.weights.assign(wide * k, 0);
    out.bias.assign(wide * static_cast<std::size_t>(out.rows), 0);
    out.shift.assign(wide, 0);
    std::vector<int> column(k);
    for (int i = 0; i < inputs; ++i) column[static_cast<std::size_t>(i)] = from(i);
    const std::int16_t* values = static_cast<const std::int16_t*>(weight.data);
    for (int n = 0; n < out.outputs; ++n) {
        const int in_memory = n / kPanel * kPanel + kernels_.order[n % kPanel];
        if (in_memory >= outputs) continue;
        const int number = to(in_memory);
        const std::int16_t* row = values + static_cast<std::ptrdiff_t>(number) * inputs;
        std::int16_t* packed =
            out.weights.data() + static_cast<std::ptrdiff_t>(n / kPanel) * kPanel * inputs + 2 * (n % kPanel);
        Extent extent;
        for (std::size_t i = 0; i < k; ++i) {
            const std::int16_t w = row[column[i]];
            extent.add(w, source);
            packed[i / 2 * 2 * kPanel + i % 2] = w;
        }
        for (int r = 0; r < out.rows; ++r) {
            const std::int32_t b = bias[static_cast<std::size_t>(r * outputs + number)];
            if (!extent.fits(b)) leaves_word(layer, number);
            out.bias[static_cast<std::size_t>(r * out.outputs + n)] = b;
        }
        out.shift[static_cast<std::size_t>(n)] = shift[static_cast<std::size_t>(number)];
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
        Extent extent;
        for (int t = 0; t < taps; ++t) {
            const std::int16_t w = values[number * taps + t];
            extent.add(w, source);
            out.weights[static_cast<std::size_t>((block * pairs + t / 2 * lanes + (c - block)) * 2 + t % 2)] = w;
        }
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
