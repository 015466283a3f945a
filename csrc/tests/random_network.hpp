// Small random networks for tests and fuzzers: every layer that the real ones have.
#pragma once
#include <deque>
#include <string>
#include <vector>

#include "network/network.hpp"
#include "tests/random_model.hpp"

namespace lfic {

// A random network; its weights are small enough for the proof, its results large enough to be clamped now and then.
struct RandomNetwork {
    network::Tensors tensors;
    std::deque<std::vector<std::int16_t>> shorts;
    std::deque<std::vector<std::int32_t>> words;
    std::deque<std::vector<std::uint8_t>> bytes;
    std::deque<std::vector<float>> floats;
    Random random;

    static std::size_t size(const std::vector<std::int64_t>& shape) {
        std::size_t out = 1;
        for (const std::int64_t side : shape) out *= static_cast<std::size_t>(side);
        return out;
    }
    void put(const std::string& name, std::vector<std::int64_t> shape, int low, int high) {
        auto& v = shorts.emplace_back(size(shape));
        for (auto& x : v) x = static_cast<std::int16_t>(random.between(low, high));
        tensors["integers." + name] = {v.data(), network::Type::i16, std::move(shape)};
    }
    void put_words(const std::string& name, std::vector<std::int64_t> shape, int low, int high) {
        auto& v = words.emplace_back(size(shape));
        for (auto& x : v) x = random.between(low, high);
        tensors["integers." + name] = {v.data(), network::Type::i32, std::move(shape)};
    }
    void put_bytes(const std::string& name, std::int64_t count, int low, int high) {
        auto& v = bytes.emplace_back(static_cast<std::size_t>(count));
        for (auto& x : v) x = static_cast<std::uint8_t>(random.between(low, high));
        tensors["integers." + name] = {v.data(), network::Type::u8, {count}};
    }
    void range(const std::string& layer, int low, int high) {
        auto& v = shorts.emplace_back(
            std::vector<std::int16_t>{static_cast<std::int16_t>(low), static_cast<std::int16_t>(high)});
        tensors["integers." + layer + ".range"] = {v.data(), network::Type::i16, {2}};
    }
    void layer(const std::string& name, int outputs, int inputs, int kernel, bool by_quality, int low, int high) {
        const int most = 60000 / (inputs * kernel * kernel);
        put(name + ".weight", {outputs, inputs, kernel, kernel}, -most, most);
        put_words(name + ".bias",
                  by_quality ? std::vector<std::int64_t>{100, outputs} : std::vector<std::int64_t>{outputs}, -1000000,
                  1000000);
        put_bytes(name + ".shift", outputs, 9, 14);
        range(name, low, high);
    }
    void stage(const std::string& name, int blocks, int channels, int kernel) {
        for (int i = 0; i < blocks; ++i) {
            const std::string block = name + "." + std::to_string(i);
            layer(block + ".depthwise", channels, 1, kernel, false, -8191, 8191);
            layer(block + ".expand", 2 * channels, channels, 1, false, -32767, 16000);
            put_bytes(block + ".expand.unit", 1, 8, 14);
            layer(block + ".project", channels, 2 * channels, 1, false, -16383, 16383);
        }
    }
    RandomNetwork(int channels, int fine, int width, int inner, std::uint64_t seed) : random{seed} {
        const int wide = 16383;
        put_words("synthesis.step", {100, 3, channels}, 1, (1 << 20) - 1);
        range("synthesis", -8191, 8191);
        layer("synthesis.enter_inner", inner, 4 * channels, 1, true, -wide, wide);
        put("synthesis.level", {3, inner}, -2000, 2000);
        put("synthesis.position", {14, 14, width}, -2000, 2000);
        put("synthesis.position_inner", {7, 7, inner}, -32768, 32767);
        stage("synthesis.inner", 2, inner, 5);
        layer("synthesis.up_inner", 4 * width, inner, 1, false, -wide, wide);
        layer("synthesis.enter", width, channels, 1, true, -wide, wide);
        stage("synthesis.middle", 1, width, 5);
        layer("synthesis.up", 4 * fine, width, 1, false, -wide, wide);
        stage("synthesis.fine", 1, fine, 3);
        layer("synthesis.lapped", 48, fine, 2, false, 0, 255);
        layer("analysis.lapped", fine, 48, 2, false, -wide, wide);
        stage("analysis.fine", 1, fine, 3);
        layer("analysis.down", width, 4 * fine, 1, true, -wide, wide);
        put("analysis.position", {14, 14, width}, -2000, 2000);
        stage("analysis.middle", 2, width, 5);
        layer("analysis.down_inner", inner, 4 * width, 1, true, -wide, wide);
        put("analysis.position_inner", {7, 7, inner}, -2000, 2000);
        stage("analysis.inner", 1, inner, 5);
        layer("analysis.out", channels, inner, 1, false, -wide, wide);
        layer("analysis.detail", channels, width, 1, false, -wide, wide);
        auto& gain = floats.emplace_back(static_cast<std::size_t>(300 * channels));
        for (auto& x : gain) x = static_cast<float>(random.between(1, 1000)) / 65536.0f;
        tensors["integers.analysis.gain"] = {gain.data(), network::Type::f32, {100, 3, channels}};
        layer("level_head.enter", 32, 3 * channels, 1, false, -32767, 32767);
        put_bytes("level_head.enter.unit", 1, 9, 9);
        layer("level_head.mix", 32, 32, 3, false, -32767, 32767);
        put_bytes("level_head.mix.unit", 1, 9, 9);
        layer("level_head.out", 3, 32, 1, true, -32767, 32767);
        put("level_head.position", {4, 4, 3}, -2000, 2000);
    }
};

}  // namespace lfic
