// Weights files: safetensors with a digest over every tensor; nothing in them is code. lfic/format/weights.py writes
// and reads the same.
//
// The reader is strict: lengths are checked before anything is read, tensors lie one behind the other without gaps or
// overlaps up to the file's end, every size is what the shape says, and the digest must be right.
#pragma once
#include <array>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "coder/context_model.hpp"
#include "format/bits.hpp"

namespace lfic {

// A tensor where it lies in the file: little-endian, row-major, aligned to nothing.
struct FileTensor {
    std::string type;  // as safetensors names it: "I16", "F32", ...
    std::vector<int64_t> shape;
    const uint8_t* data;
    std::size_t size;  // bytes

    std::size_t count() const;  // of elements
};

// Whether a file's bytes may have changed since they were written; those inside a program have not.
enum class Origin { file, program };

// The tensors and the texts of a weights file, whose bytes must outlive it. Throws WeightsError.
class Weights {
  public:
    // The digest over a file's tensors takes a third of the time in which a face is decoded by a program that begins.
    explicit Weights(const View& file, Origin origin = Origin::file);

    const std::map<std::string, FileTensor>& tensors() const { return tensors_; }
    // Of "format", "config", "digest", ...; empty where there is none.
    const std::string& text(const std::string& name) const;
    // What files carry that this model writes: the number of the bundled model whose integers these are, or kPrivate.
    int model_number() const;
    // The weights that the file holds beside the model's own: the tensors named "NAME.*", whose source is the text
    // NAME. "former": of the model before it; "template": its own entropy model for what stands on the template.
    std::optional<Weights> part(const std::string& name) const;
    // What files of private weights say of them: the first bytes of their digest, or of that of what they were cut
    // from.
    std::array<uint8_t, 4> mark() const;

    // What a file's digest has to be, whatever it says. Throws WeightsError for one that is no weights file.
    static std::string digest_of(const View& file);

  private:
    Weights() = default;
    const std::string& whole_digest() const;
    void read(const View& file);
    std::string digest() const;

    std::map<std::string, FileTensor> tensors_;
    std::map<std::string, std::string> texts_;
};

// A tensor's elements in this machine's byte order. Throws WeightsError where there is none, or one of another type.
template <class T>
std::vector<T> elements(const Weights& weights, const std::string& name);

// Whether this machine's byte order is that of weights files.
inline bool little_endian() {
    const uint16_t one = 1;
    uint8_t first;
    std::memcpy(&first, &one, 1);
    return first == 1;
}

// Where they lie in the file, if this machine reads them there as they are; null otherwise, and of nothing.
template <class T>
const T* in_place(const FileTensor& tensor) {
    const bool aligned = reinterpret_cast<std::uintptr_t>(tensor.data) % alignof(T) == 0;
    return little_endian() && aligned && tensor.size ? reinterpret_cast<const T*>(tensor.data) : nullptr;
}

// The integer context model. Throws WeightsError.
std::shared_ptr<const ContextModel> context_model(const Weights& weights, Simd simd = Simd::automatic);

}  // namespace lfic
