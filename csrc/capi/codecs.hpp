// What decodes by a weights file, made as files ask for it.
#pragma once
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "capi/codec.hpp"

namespace lfic {

// Making a codec takes longer than decoding a face, so of weights of two parts the whole is made for the first file
// that needs more than what codes the template. Any number of threads may ask. What the weights are read from has to
// stay as long as this.
class Codecs {
  public:
    explicit Codecs(Weights weights) : weights_(std::move(weights)), template_weights_(weights_.template_part()) {
        if (!template_weights_) make_whole();
    }
    const Codec& of(const File& file) {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (!whole_ && file.model == template_weights_->model_number()) {
            if (!template_) template_ = std::make_shared<const Codec>(*template_weights_, Simd::automatic, kPart);
            return *template_;
        }
        if (!whole_) make_whole();
        return *whole_;
    }

  private:
    static constexpr Part kPart = Part::decoding;
    void make_whole() { whole_ = std::make_unique<const Codec>(weights_, Simd::automatic, kPart, template_); }

    Weights weights_;
    std::optional<Weights> template_weights_;
    std::mutex mutex_;
    std::shared_ptr<const Codec> template_;
    std::unique_ptr<const Codec> whole_;
};

}  // namespace lfic
