#include "format/weights.hpp"

#include <algorithm>
#include <cstring>

#include "format/file.hpp"
#include "format/json.hpp"
#include "format/sha256.hpp"

#if !defined LFIC_FACE_V1_DIGEST || !defined LFIC_FACE_V2_DIGEST
#error "these are the digests that the files in lfic/weights say of themselves: CMakeLists.txt reads them there"
#endif

namespace lfic {
namespace {

// The digest covers the tensors; in the second format the metadata before them.
const char kTensorsAlone[] = "lfic-weights-1", kFormat[] = "lfic-weights-2";
constexpr std::size_t kMaxHead = 1 << 20;  // bytes; the shipped model's has 70 kB
constexpr std::size_t kMaxAxes = 8;
constexpr uint64_t kMaxElements = uint64_t{1} << 40;

// Digests of the bundled weights, or of the file that a smaller one was cut from.
const struct {
    int number;
    const char* digest;
} kBundled[] = {{kFaceV1, LFIC_FACE_V1_DIGEST}, {kFaceV2, LFIC_FACE_V2_DIGEST}};

struct Type {
    const char *name, *numpy;  // as safetensors and as numpy's dtype.str name it
    std::size_t size;
};
const Type kTypes[] = {{"BOOL", "|b1", 1}, {"U8", "|u1", 1},  {"I8", "|i1", 1},  {"U16", "<u2", 2},
                       {"I16", "<i2", 2},  {"F16", "<f2", 2}, {"U32", "<u4", 4}, {"I32", "<i4", 4},
                       {"F32", "<f4", 4},  {"U64", "<u8", 8}, {"I64", "<i8", 8}, {"F64", "<f8", 8}};

[[noreturn]] void refuse(const std::string& what) {
    throw WeightsError("this is no readable weights file: " + what);
}

const Type& type_named(const std::string& name) {
    for (const Type& type : kTypes)
        if (name == type.name) return type;
    refuse("a tensor has type '" + name.substr(0, 20) + "', which weights do not use");
}

FileTensor tensor_of(const std::string& name, const json::Value& value, const View& data) {
    const json::Value *type = value.find("dtype"), *shape = value.find("shape"), *place = value.find("data_offsets");
    if (value.kind != json::Value::object || value.members.size() != 3 || !type || !shape || !place ||
        type->kind != json::Value::string || shape->kind != json::Value::array || place->kind != json::Value::array ||
        place->items.size() != 2 || shape->items.size() > kMaxAxes)
        refuse("tensor '" + name + "' is not described by a type, a shape and two offsets");
    FileTensor out{type->text, {}, nullptr, 0};
    uint64_t count = 1;
    for (const auto& side : shape->items) {
        if (side.kind != json::Value::number || side.integer > kMaxElements || (count *= side.integer) > kMaxElements)
            refuse("tensor '" + name + "' has a shape that is no list of sizes");
        out.shape.push_back(static_cast<int64_t>(side.integer));
    }
    const json::Value &from = place->items[0], &to = place->items[1];
    if (from.kind != json::Value::number || to.kind != json::Value::number || from.integer > to.integer ||
        to.integer > data.size)
        refuse("tensor '" + name + "' lies outside the file");
    out.data = data.data + from.integer;
    out.size = static_cast<std::size_t>(to.integer - from.integer);
    if (count * type_named(out.type).size != out.size)
        refuse("tensor '" + name + "' has " + std::to_string(out.size) +
               " bytes, which its shape and type do not give");
    return out;
}

}  // namespace

std::size_t FileTensor::count() const {
    std::size_t n = 1;
    for (const int64_t side : shape) n *= static_cast<std::size_t>(side);
    return n;
}

Weights::Weights(const View& file, Origin origin) {
    read(file);
    if (text("format") != kFormat && text("format") != kTensorsAlone)
        throw WeightsError("the weights have format '" + text("format").substr(0, 40) + "'; this lfic reads '" +
                           kTensorsAlone + "' and '" + kFormat + "'");
    if (origin == Origin::program) return;
    const std::string found = digest();
    if (found != text("digest"))
        throw WeightsError("the weights are damaged: their digest is " + found.substr(0, 16) + "..., they say " +
                           text("digest").substr(0, 16) + "...");
}

std::string Weights::digest_of(const View& file) {
    Weights weights;
    weights.read(file);
    return weights.digest();
}

void Weights::read(const View& file) {
    if (file.size < 8) refuse("it has " + std::to_string(file.size) + " bytes");
    uint64_t head = 0;
    for (int k = 7; k >= 0; --k) head = head << 8 | file.data[k];
    if (head > kMaxHead || head > file.size - 8)
        refuse("its head has " + std::to_string(head) + " bytes; allowed are " + std::to_string(kMaxHead) +
               " and what the file has");
    const json::Value all = json::parse(reinterpret_cast<const char*>(file.data) + 8, static_cast<std::size_t>(head));
    if (all.kind != json::Value::object) refuse("its head is no object");
    const View data{file.data + 8 + head, file.size - 8 - static_cast<std::size_t>(head)};
    for (const auto& [name, value] : all.members) {
        if (name != "__metadata__") {
            tensors_.emplace(name, tensor_of(name, value, data));
            continue;
        }
        if (value.kind != json::Value::object) refuse("its metadata is no object");
        for (const auto& [key, entry] : value.members) {
            if (entry.kind != json::Value::string) refuse("its metadata holds more than strings");
            texts_.emplace(key, entry.text);
        }
    }
    std::vector<const FileTensor*> placed;
    for (const auto& entry : tensors_) placed.push_back(&entry.second);
    std::sort(placed.begin(), placed.end(), [](const FileTensor* a, const FileTensor* b) {
        return a->data != b->data ? a->data < b->data : a->size < b->size;
    });
    const uint8_t* end = data.data;
    for (const FileTensor* tensor : placed) {
        if (tensor->data != end) refuse("its tensors overlap, or leave gaps");
        end += tensor->size;
    }
    if (end != data.data + data.size) refuse("bytes follow its last tensor");
}

const std::string& Weights::text(const std::string& name) const {
    static const std::string none;
    const auto found = texts_.find(name);
    return found == texts_.end() ? none : found->second;
}

std::string Weights::digest() const {
    Sha256 sha;
    if (text("format") == kFormat)
        for (const auto& [name, told] : texts_)
            if (name != "digest") sha.add(name + " " + std::to_string(told.size()) + "\n" + told + "\n");
    for (const auto& [name, tensor] : tensors_) {
        std::string shape;
        for (const int64_t side : tensor.shape) shape += (shape.empty() ? "" : ", ") + std::to_string(side);
        if (tensor.shape.size() == 1) shape += ",";
        sha.add(name + " " + type_named(tensor.type).numpy + " (" + shape + ")\n");
        sha.add(tensor.data, tensor.size);
    }
    return sha.hex();
}

std::optional<Weights> Weights::part(const std::string& name) const {
    const std::string prefix = name + ".";
    Weights out;
    for (auto at = tensors_.lower_bound(prefix); at != tensors_.end(); ++at) {
        if (at->first.compare(0, prefix.size(), prefix) != 0) break;
        out.tensors_.emplace(at->first.substr(prefix.size()), at->second);
    }
    if (out.tensors_.empty()) return std::nullopt;
    out.texts_.emplace("source", text(name));
    return out;
}

const std::string& Weights::whole_digest() const {
    return text(text("source").empty() ? "digest" : "source");
}

int Weights::model_number() const {
    for (const auto& model : kBundled)
        if (model.digest == whole_digest()) return model.number;
    return kPrivate;
}

std::array<uint8_t, 4> Weights::mark() const {
    std::array<uint8_t, 4> out{};
    const std::string& digest = whole_digest();
    if (digest.size() < 2 * out.size() || digest.find_first_not_of("0123456789abcdef") != std::string::npos)
        throw WeightsError("the weights' digest is no hexadecimal number");
    for (std::size_t i = 0; i < out.size(); ++i)
        out[i] = static_cast<uint8_t>(std::stoi(digest.substr(2 * i, 2), nullptr, 16));
    return out;
}

template <class T>
std::vector<T> elements(const Weights& weights, const std::string& name) {
    const auto found = weights.tensors().find(name);
    if (found == weights.tensors().end()) throw WeightsError("the weights lack '" + name + "'");
    const FileTensor& tensor = found->second;
    const std::string wanted = (std::is_floating_point_v<T> ? "F"
                                : std::is_signed_v<T>       ? "I"
                                                            : "U") +
                               std::to_string(8 * sizeof(T));
    if (tensor.type != wanted)
        throw WeightsError("tensor '" + name + "' has type " + tensor.type + "; needed is " + wanted);
    std::vector<T> out(tensor.count());
    if (tensor.size) std::memcpy(out.data(), tensor.data, tensor.size);  // of nothing, data() may be null
    if (!little_endian()) {
        auto* bytes = reinterpret_cast<uint8_t*>(out.data());
        for (std::size_t i = 0; i < tensor.size; i += sizeof(T)) std::reverse(bytes + i, bytes + i + sizeof(T));
    }
    return out;
}

template std::vector<uint8_t> elements(const Weights&, const std::string&);
template std::vector<uint16_t> elements(const Weights&, const std::string&);
template std::vector<int16_t> elements(const Weights&, const std::string&);
template std::vector<int32_t> elements(const Weights&, const std::string&);
template std::vector<int64_t> elements(const Weights&, const std::string&);
template std::vector<float> elements(const Weights&, const std::string&);

std::shared_ptr<const ContextModel> context_model(const Weights& weights, Simd simd) {
    const auto side = [&](const char* name, std::size_t axis) {
        const auto found = weights.tensors().find(name);
        if (found == weights.tensors().end() || found->second.shape.size() <= axis)
            throw WeightsError("the weights lack '" + std::string(name) + "', or it has too few axes");
        return static_cast<int>(std::min<int64_t>(found->second.shape[axis], 1 << 20));
    };
    const auto one = [&](const char* name) {
        const auto values = elements<int32_t>(weights, name);
        if (values.size() != 1) throw WeightsError("'" + std::string(name) + "' is not one number");
        return values[0];
    };
    ContextArrays a;
    while (weights.tensors().count("context.W2." + std::to_string(a.groups)))
        a.w2.push_back(elements<int16_t>(weights, "context.W2." + std::to_string(a.groups++)));
    a.hidden1 = side("context.W1", 0);
    a.channels = side("context.W1", 1) / 4;
    a.hidden2 = side("context.b2", 1);
    a.scales = side("context.table_map", 0) / 8;
    a.sh1 = one("context.sh1");
    a.sh2 = one("context.sh2");
    a.sh3 = one("context.sh3");
    a.mshift = one("context.mshift");
    a.w1 = elements<int16_t>(weights, "context.W1");
    a.b_level = elements<int32_t>(weights, "context.B_level");
    a.b_quality = elements<int32_t>(weights, "context.B_quality");
    a.b_avail = elements<int32_t>(weights, "context.B_avail");
    a.b_pos = elements<int32_t>(weights, "context.B_pos");
    a.b2 = elements<int32_t>(weights, "context.b2");
    a.w3 = elements<int16_t>(weights, "context.W3");
    a.b3 = elements<int32_t>(weights, "context.b3");
    a.vstep = elements<int16_t>(weights, "context.vstep");
    a.mgain = elements<int32_t>(weights, "context.mgain");
    a.sbias = elements<int32_t>(weights, "context.sbias");
    a.active = elements<uint8_t>(weights, "context.active");
    a.table_map = elements<int32_t>(weights, "context.table_map");
    a.level_prior = elements<uint16_t>(weights, "context.level_prior");
    try {
        auto tables = std::make_shared<const Tables>(elements<int32_t>(weights, "tables.lows"),
                                                     elements<int64_t>(weights, "tables.starts"),
                                                     elements<uint16_t>(weights, "tables.frequencies"));
        return std::make_shared<const ContextModel>(std::move(a), std::move(tables), simd);
    } catch (const InvalidInput& error) {
        throw WeightsError(std::string("the weights hold no model that this lfic knows: ") + error.what());
    }
}

}  // namespace lfic
