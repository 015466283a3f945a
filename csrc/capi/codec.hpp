// The whole chain: weights -> a codec; a file -> pixels; pixels -> a file without effort. lfic/codec.py has the same.
#pragma once
#include <memory>
#include <vector>

#include "compose/compose.hpp"
#include "format/file.hpp"
#include "format/payload.hpp"
#include "format/weights.hpp"
#include "network/network.hpp"

namespace lfic {

struct EncodeSettings {
    int quality = 40;
    int aligned = -1;  // -1: where positions help, of 112 x 112 pixels
    bool checksum = true;
    int threads = 1;
    std::size_t max_bytes = 0;  // 0: the quality counts
    bool full = false;          // a picture is never coded smaller than it is
};

enum class Part { all, decoding };  // of the networks: what only decodes needs no analysis

using Networks = std::shared_ptr<const network::Model>;

// The integer networks of a weights file. Throws WeightsError, also for weights without them.
Networks networks_of(const Weights& weights, Simd simd, Part part);

class Codec {
  public:
    // Throws WeightsError, also for weights without integers. simd: of the context model and the networks. face-v2
    // codes what stands on the template by the networks of face-v1: of `former`, or of what its weights file holds of
    // it.
    explicit Codec(const View& weights, Simd simd = Simd::automatic, Part part = Part::all);
    explicit Codec(const Weights& weights, Simd simd = Simd::automatic, Part part = Part::all,
                   std::shared_ptr<const Codec> former = nullptr);
    // A part, or a whole of parts, as given. number: what files carry that this model writes. on_template: what codes
    // aligned streams where that is another part. former: the model before it, which reads that one's files and tells
    // what stands on the template.
    Codec(int number, std::shared_ptr<const ContextModel> context, Networks networks,
          std::shared_ptr<const Codec> on_template = nullptr, std::shared_ptr<const Codec> former = nullptr);
    // The part of a model that codes what stands on the template: the networks of the model before it, and an entropy
    // model of its own. Throws WeightsError where the weights hold none.
    static std::shared_ptr<const Codec> on_template(const Weights& weights, Networks networks, Simd simd);

    int model_number() const { return number_; }
    const ContextModel& context() const { return *context_; }
    const network::Model& networks() const { return *networks_; }
    // What codes a stream of a file of model `number`.
    const Codec& of(int number, bool aligned) const {
        if (former_ && number == former_->number_) return *former_;
        return template_ && aligned ? *template_ : *this;
    }

    // A file that this codec's model wrote, or the one before it. Throws ContainerError for any other, besides what
    // read_file throws.
    File read(const View& file, uint64_t max_pixels) const;
    // -> uint8 [height, width, 3]. Throws CorruptStream.
    void decode(const File& file, uint8_t* rgb, int threads) const;
    // Streams of any sizes, of a file of model `number` -> their own pixels.
    std::vector<std::vector<uint8_t>> decode_streams(const std::vector<Stream>& streams, int number, int threads) const;

    // Pixels [height, width, 3] -> the bytes of a file. Throws InvalidInput, WeightsError where the weights only
    // decode.
    std::vector<uint8_t> encode(const uint8_t* rgb, uint32_t width, uint32_t height,
                                const EncodeSettings& settings) const;

  private:
    struct Draft;
    const Codec& of(bool aligned) const { return of(number_, aligned); }  // what codes a stream of its own
    bool encodes() const { return networks_->has_analysis() && (!template_ || template_->encodes()); }
    Draft draft(const uint8_t* rgb, uint32_t width, uint32_t height, int quality, bool aligned, int threads,
                bool coarsest = false) const;
    Draft best_draft(const uint8_t* rgb, uint32_t width, uint32_t height, int quality, int aligned, int threads) const;
    // Of the symbols of a draft on the template, with positions or without.
    double bits(const Draft& draft, bool aligned) const;
    // Of a picture of width x height pixels, whose draft may be smaller by a reduction.
    std::vector<uint8_t> bytes_of(const Draft& draft, bool checksum, uint32_t width, uint32_t height,
                                  int reduction = 0) const;
    // The picture smaller by a reduction, not on the template.
    Draft reduced_draft(const uint8_t* rgb, uint32_t width, uint32_t height, const Resolution&, int threads) const;
    std::vector<uint8_t> largest(const uint8_t* rgb, uint32_t width, uint32_t height, const EncodeSettings&) const;

    int number_;
    std::array<uint8_t, 4> mark_{};  // of private weights; zeros where it is not known
    std::shared_ptr<const ContextModel> context_;
    Networks networks_;
    std::shared_ptr<const Codec> template_, former_;  // null where this model codes everything
};

}  // namespace lfic
