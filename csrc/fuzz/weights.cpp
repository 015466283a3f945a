// Whatever a weights file holds: it is refused, or its models decode without a wrong access and without an overflow.
//
// Input: byte 0 kind, then a whole file of a few tensors (kinds 0 to 247), or changes to a small model that is valid:
// each an index of a tensor, what to change, and a value, in 8 bytes.
#include <algorithm>
#include <cstring>
#include <map>
#include <memory>

#include "capi/codec.hpp"
#include "format/json.hpp"
#include "fuzz/target.hpp"
#include "tests/random_network.hpp"

using namespace lfic;

namespace {

constexpr uint8_t kChanges = 248;  // kinds from here on
constexpr int kChannels = 16, kGroups = 2, kHidden1 = 16, kHidden2 = 8, kScales = 3, kTables = 24;
constexpr std::size_t kChangeBytes = 8;

struct World {
    RandomNetwork network{kChannels, 16, 16, 16, 3};
    std::vector<std::string> names;
    std::shared_ptr<const Tables> tables = random_tables(kTables, 7);
    ContextArrays arrays = random_arrays(kChannels, kGroups, kHidden1, kHidden2, kScales, kTables, 11);

    World() {
        for (const auto& entry : network.tensors) names.push_back(entry.first);
    }
};

const World& world() {
    static const World w;
    return w;
}

struct Change {
    unsigned tensor, what;
    std::size_t at;
    int32_t value;
};

Change change_of(const uint8_t* bytes) {
    const auto little = [&](int from, int count) {
        uint32_t out = 0;
        for (int k = count; k-- > 0;) out = out << 8 | bytes[from + k];
        return out;
    };
    return {bytes[0], bytes[1], little(2, 2), static_cast<int32_t>(little(4, 4))};
}

std::size_t bytes_of(const network::Tensor& tensor) {
    return RandomNetwork::size(tensor.shape) * (tensor.type == network::Type::u8    ? 1
                                                : tensor.type == network::Type::i16 ? 2
                                                                                    : 4);
}

// A tensor's numbers, type or shape; copies live in `held`. Sizes stay what the shape says, as the file's reader
// demands.
void apply(const Change& change, network::Tensors& tensors, std::map<std::string, std::vector<uint8_t>>& held) {
    const std::string& name = world().names[change.tensor % world().names.size()];
    const auto found = tensors.find(name);
    if (found == tensors.end()) return;
    network::Tensor& tensor = found->second;
    std::vector<uint8_t>& data = held[name];
    if (data.empty()) {
        const auto* from = static_cast<const uint8_t*>(tensor.data);
        data.assign(from, from + bytes_of(tensor));
    }
    switch (change.what % 8) {
        case 0: tensors.erase(found); return;
        case 1: tensor.type = static_cast<network::Type>(change.value & 3); break;
        case 2:
            if (!tensor.shape.empty()) tensor.shape[change.at % tensor.shape.size()] = std::abs(change.value % 100);
            break;
        case 3: tensor.shape.push_back(1 + (change.value & 1)); break;
        case 4: std::reverse(tensor.shape.begin(), tensor.shape.end()); break;
        default:  // a number
            for (std::size_t k = 0; k < 4 && !data.empty(); ++k)
                data[(change.at * 2 + k) % data.size()] = static_cast<uint8_t>(change.value >> 8 * k);
    }
    data.resize(bytes_of(tensor));
    tensor.data = data.data();
}

template <class T>
void apply(const Change& change, std::vector<T>& values) {
    if (change.what % 4 == 0)
        values.resize(change.at % 300);
    else if (!values.empty())
        values[change.at % values.size()] = static_cast<T>(change.value >> (change.what % 3 * 8));
}

void apply(const Change& change, ContextArrays& a) {
    int* const numbers[] = {&a.channels, &a.groups, &a.hidden1, &a.hidden2, &a.scales,
                            &a.sh1,      &a.sh2,    &a.sh3,     &a.mshift};
    switch (change.tensor % 16) {
        case 0: apply(change, a.w1); break;
        case 1: apply(change, a.b_level); break;
        case 2: apply(change, a.b_quality); break;
        case 3: apply(change, a.b_avail); break;
        case 4: apply(change, a.b_pos); break;
        case 5:
            if (!a.w2.empty()) apply(change, a.w2[change.at % a.w2.size()]);
            break;
        case 6: apply(change, a.b2); break;
        case 7: apply(change, a.w3); break;
        case 8: apply(change, a.b3); break;
        case 9: apply(change, a.vstep); break;
        case 10: apply(change, a.mgain); break;
        case 11: apply(change, a.sbias); break;
        case 12: apply(change, a.active); break;
        case 13: apply(change, a.table_map); break;
        case 14: apply(change, a.level_prior); break;
        default: *numbers[change.at % 9] = change.value >> (change.what % 4 * 8);
    }
}

// A picture of a few cells, its payload whatever bytes there are.
void use(const Codec& codec, const uint8_t* data, std::size_t size) {
    const Stream stream{11, 19, 1 + data[0] % kQualities, kCodedMap, false, {data, size}};
    File file;
    file.model = kPrivate;
    file.width = stream.width;
    file.height = stream.height;
    file.background = stream;
    std::vector<uint8_t> pixels(std::size_t{3} * file.width * file.height, 77);
    try {
        codec.decode(file, pixels.data(), 1);
    } catch (const CorruptStream&) {
    }
    if (codec.networks().has_analysis()) codec.encode(pixels.data(), file.width, file.height, {});
}

void changed_model(const uint8_t* data, std::size_t size) {
    network::Tensors tensors = world().network.tensors;
    std::map<std::string, std::vector<uint8_t>> held;
    ContextArrays arrays = world().arrays;
    for (std::size_t at = 0; at + kChangeBytes <= size && at < 4 * kChangeBytes; at += kChangeBytes) {
        const Change change = change_of(data + at);
        if (change.what & 128)
            apply(change, arrays);
        else
            apply(change, tensors, held);
    }
    auto networks = std::make_unique<network::Model>(tensors);
    auto context = std::make_shared<const ContextModel>(std::move(arrays), world().tables, Simd::automatic);
    const Codec codec(kPrivate, std::move(context), std::move(networks));
    if (size) use(codec, data, size);
}

// {"__metadata__":{...},"a":{"dtype":"I16","shape":[2,3],"data_offsets":[0,12]}} with random tensors.
std::string random_head(Random& random, std::size_t& bytes) {
    const struct {
        const char* name;
        std::size_t size;
    } types[] = {{"U8", 1}, {"I16", 2}, {"U16", 2}, {"I32", 4}, {"F32", 4}, {"I64", 8}, {"F16", 2}, {"BOOL", 1}};
    const char* names[] = {"tables.lows",  "tables.starts", "tables.frequencies", "context.W1",       "context.sh1",
                           "context.W2.0", "context.b2",    "integers.synthesis", "context.table_map"};
    std::string head =
        R"({"__metadata__":{"format":"lfic-weights-2","config":"{}","digest":")" + std::string(64, '0') + "\"}";
    bytes = 0;
    for (const char* name : names) {
        if (random.between(0, 4)) continue;
        const auto& type = types[random.between(0, 7)];
        std::size_t count = 1;
        std::string shape;
        for (int axes = random.between(0, 3); axes > 0; --axes) {
            const int side = random.between(0, 4);
            count *= static_cast<std::size_t>(side);
            shape += (shape.empty() ? "" : ",") + std::to_string(side);
        }
        head += std::string(",\"") + name + "\":{\"dtype\":\"" + type.name + "\",\"shape\":[" + shape +
                "],\"data_offsets\":[" + std::to_string(bytes) + "," + std::to_string(bytes + count * type.size) + "]}";
        bytes += count * type.size;
    }
    return head + "}";
}

}  // namespace

namespace lfic::fuzz {

constexpr int kFilesPerModel = 400;  // a model takes as long as so many files

Input valid(Random& random) {
    Input out;
    if (one_in(random, kFilesPerModel)) {
        out.push_back(static_cast<uint8_t>(random.between(kChanges, 255)));
        for (int k = random.between(0, 4) * static_cast<int>(kChangeBytes); k > 0; --k)
            out.push_back(static_cast<uint8_t>(random.next()));
        return out;
    }
    out.push_back(static_cast<uint8_t>(random.between(0, kChanges - 1)));
    std::size_t bytes = 0;
    const std::string head = random_head(random, bytes);
    for (int k = 0; k < 8; ++k) out.push_back(static_cast<uint8_t>(k < 3 ? head.size() >> 8 * k : 0));
    out.insert(out.end(), head.begin(), head.end());
    for (std::size_t k = 0; k < bytes; ++k) out.push_back(static_cast<uint8_t>(random.next()));
    settle(random, out);
    return out;
}

// The head's length, and the digest.
void settle(Random& random, Input& input) {
    if (input.size() < 9) return;
    if (input[0] >= kChanges && !one_in(random, kFilesPerModel)) input[0] = static_cast<uint8_t>(input[0] - kChanges);
    if (input[0] >= kChanges) return;
    const auto end = std::find(input.rbegin(), input.rend(), '}').base();
    if (end - input.begin() > 9 && !one_in(random, 8)) {
        const auto size = static_cast<std::size_t>(end - input.begin()) - 9;
        for (std::size_t k = 0; k < 8; ++k) input[1 + k] = static_cast<uint8_t>(k < 3 ? size >> 8 * k : 0);
    }
    static const std::string key = "\"digest\":\"";
    const auto found = std::search(input.begin() + 1, input.end(), key.begin(), key.end());
    constexpr std::ptrdiff_t kDigits = 64;
    if (input.end() - found < static_cast<std::ptrdiff_t>(key.size()) + kDigits || one_in(random, 16)) return;
    try {
        const std::string digest = Weights::digest_of({input.data() + 1, input.size() - 1});
        std::copy(digest.begin(), digest.end(), found + static_cast<std::ptrdiff_t>(key.size()));
    } catch (const WeightsError&) {
    }
}

}  // namespace lfic::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
    if (!size) return 0;
    try {
        if (data[0] >= kChanges)
            changed_model(data + 1, size - 1);
        else
            Codec codec(View{data + 1, size - 1});
    } catch (const WeightsError&) {
    } catch (const InvalidInput&) {
    }
    return 0;
}
