// What decodes by a weights file, made as files ask for it.
#pragma once
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "capi/codec.hpp"

namespace lfic {

// Making a codec takes longer than decoding a face, so of weights of two models each part is made for the first file
// that needs it: a face on the template needs no networks but those of the model before. Any number of threads may ask.
// What the weights are read from has to stay as long as this.
class Codecs {
  public:
    // former: of the model before, where the weights do not hold it.
    explicit Codecs(Weights weights, std::optional<Weights> former = std::nullopt)
        : weights_(std::move(weights)), former_weights_(former ? std::move(former) : weights_.part("former")) {
        if (!former_weights_) whole_ = std::make_shared<const Codec>(weights_, kSimd, kPart);
    }
    const Codec& of(const File& file) {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (!former_weights_) return *whole_;
        if (file.model == former_weights_->model_number()) return *former();
        const bool face = file.model == weights_.model_number() && file.plain() && file.background->aligned;
        return face ? *on_template() : *whole();
    }

  private:
    using Shared = std::shared_ptr<const Codec>;
    static constexpr Part kPart = Part::decoding;
    static constexpr Simd kSimd = Simd::automatic;

    const Networks& former_networks() {
        if (!former_networks_) former_networks_ = networks_of(*former_weights_, kSimd, kPart);
        return former_networks_;
    }
    const Shared& former() {
        if (!former_)
            former_ = std::make_shared<const Codec>(former_weights_->model_number(),
                                                    context_model(*former_weights_, kSimd), former_networks());
        return former_;
    }
    const Shared& on_template() {
        if (!template_) template_ = Codec::on_template(weights_, former_networks(), kSimd);
        return template_;
    }
    const Shared& whole() {
        if (!whole_)
            whole_ = std::make_shared<const Codec>(weights_.model_number(), context_model(weights_, kSimd),
                                                   networks_of(weights_, kSimd, kPart), on_template());
        return whole_;
    }

    Weights weights_;
    std::optional<Weights> former_weights_;
    std::mutex mutex_;
    Networks former_networks_;
    Shared former_, template_, whole_;
};

}  // namespace lfic
