// The analysis and synthesis networks as integers: symbols -> pixels and pixels -> symbols, the same on every machine.
//
// Weights and activations are int16, sums int32; between symbols and pixels nothing is a float. docs/FORMAT.md states
// the synthesis to the last bit. Every variant (scalar, AVX2, AVX-512, NEON, WebAssembly), every number of threads and
// every cut into tiles gives the same bytes. Nothing here depends on Python or PyTorch.
//
// Tensors of a weights file, by name; "integers." stands before each. A layer <L> of N outputs and K inputs has
//
//     <L>.weight   int16 [N, K, k, k]    of depthwise layers [N, 1, k, k]
//     <L>.bias     int32 [N], or [100, N] where the layer's quality matters (row: quality - 1); rounding is included
//     <L>.shift    uint8 [N], 0 to 31
//     <L>.range    int16 [2]: what results are clamped to
//
// and the layers are
//
//     synthesis.  enter_inner  inner.<i>.{depthwise,expand,project}  up_inner  enter
//                 middle.<i>.{...}  up  fine.<i>.{...}  lapped
//     analysis.   lapped  fine.<i>.{...}  down  middle.<i>.{...}  down_inner  inner.<i>.{...}  out  detail
//     level_head. enter  mix  out
//     pictures.  pictures_head.   the analysis's and the level head's layers once more, for pictures that are no
//                                 template crops; may be absent
//
// Besides: <block>.expand.unit uint8 [1] and the heads' {enter,mix}.unit (fraction bits of SiLU's argument),
// {analysis,synthesis}.position int16 [14, 14, C] and position_inner int16 [7, 7, C], synthesis.level int16 [3, C],
// synthesis.step int32 [100, 3, C], level_head.position int16 [4, 4, 3], analysis.gain float32 [100, 3, C],
// analysis.unit uint8 [C] (fraction bits of the features, for whoever wants them as real numbers).
// Whoever wants to decode alone keeps "integers.synthesis." alone.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace lfic::network {

enum class Type { u8, i16, i32, f32 };

// A tensor as a weights file holds it: row-major, native byte order. The data is copied when a model is made.
struct Tensor {
    const void* data;
    Type type;
    std::vector<std::int64_t> shape;
};
using Tensors = std::map<std::string, Tensor>;

// What the networks are told of a picture. quality: 1 to 100; aligned: only where the grid is 14 x 14 cells.
struct Picture {
    int height, width;  // pixels, at least 1
    int quality;
    bool aligned;
};

// What the payload of a picture holds. symbols: of every kept cell in coding order (as coder/face.hpp gives them);
// levels: uint8 [ceil(h/32), ceil(w/32)], each 0 to 2.
struct Coded {
    const std::int16_t* symbols;
    std::size_t count;
    const std::uint8_t* levels;
};

struct Symbols {
    std::vector<std::int16_t> symbols;
    std::vector<std::uint8_t> levels;
};

class Model {
  public:
    // Tensors whose names do not begin with "integers." are ignored. simd: "auto", "scalar", "avx2", "avxvnni",
    // "avx512", "neon", "wasm". Throws InvalidInput where a tensor is missing, has another type or shape, where sums
    // could leave int32, or where the machine lacks the instructions.
    explicit Model(const Tensors& tensors, const std::string& simd = "auto");
    ~Model();
    Model(Model&&) noexcept;
    Model& operator=(Model&&) noexcept;

    int channels() const;      // of a feature cell
    const char* simd() const;  // the variant that runs
    bool has_analysis() const;

    // Symbols -> uint8 [height, width, 3], RGB, rows without gaps. Throws InvalidInput where a number is out of range
    // or `count` is not what the levels keep.
    void synthesize(const Picture& picture, const Coded& coded, std::uint8_t* rgb, int threads = 1) const;
    // Many pictures, of any sizes; faces of one size run together. threads: 0 for one a core.
    void synthesize(const std::vector<Picture>& pictures, const std::vector<Coded>& coded,
                    const std::vector<std::uint8_t*>& rgb, int threads = 1) const;

    // uint8 [height, width, 3] -> features int16 [ceil(h/8), ceil(w/8), channels()].
    void analyze(const Picture& picture, const std::uint8_t* rgb, std::int16_t* features, int threads = 1) const;
    // Many pictures, of any sizes.
    void analyze(const std::vector<Picture>& pictures, const std::vector<const std::uint8_t*>& rgb,
                 const std::vector<std::int16_t*>& features, int threads = 1) const;
    // The level head's choice for features: uint8 [ceil(h/32), ceil(w/32)].
    void choose_levels(const Picture& picture, const std::int16_t* features, std::uint8_t* levels) const;
    // Features, pooled by their levels and rounded: symbols in coding order.
    std::vector<std::int16_t> pool(const Picture& picture, const std::int16_t* features,
                                   const std::uint8_t* levels) const;
    // All three for many pictures: what an encoder without effort codes.
    std::vector<Symbols> encode(const std::vector<Picture>& pictures, const std::vector<const std::uint8_t*>& rgb,
                                int threads = 1) const;

  private:
    struct Parts;
    std::unique_ptr<Parts> parts_;
};

}  // namespace lfic::network
