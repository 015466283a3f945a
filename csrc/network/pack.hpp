// A weights file's tensors -> layers as kernels read them, with the proof that no sum leaves int32.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "network/layers.hpp"
#include "network/network.hpp"

namespace lfic::network {

// What a layer reads: the least and the largest value of any input. Both ends are reached at most.
struct Span {
    std::int32_t low, high;
};

// How a tensor's inputs or outputs stand in memory: the k-th in memory is number of(k) of the tensor.
using Order = std::function<int(int)>;
inline int in_order(int k) {
    return k;
}
// Space-to-depth by `side`: channels of one place after the other, places in raster order.
Order by_place(int channels, int side);

class Reader {
  public:
    Reader(const Tensors& tensors, const Kernels& kernels) : kernels_(kernels), tensors_(tensors) {}

    bool has(const std::string& name) const;
    // The tensor; throws InvalidInput unless it has this type and shape, where < 0 allows any size.
    const Tensor& tensor(const std::string& name, Type type, const std::vector<std::int64_t>& shape) const;
    template <class T>
    std::vector<T> values(const std::string& name, Type type, const std::vector<std::int64_t>& shape) const {
        const Tensor& found = tensor(name, type, shape);
        std::size_t size = 1;
        for (const std::int64_t side : found.shape) size *= static_cast<std::size_t>(side);
        const T* data = static_cast<const T*>(found.data);
        return std::vector<T>(data, data + size);
    }

    int outputs(const std::string& layer) const;
    // Of layer.range.
    Span range(const std::string& layer) const;
    // Of layer.unit: fraction bits of SiLU's argument.
    int unit(const std::string& layer) const;
    // `inputs`: of the tensor, kernel places included, or < 0. SiLU where `silu`.
    Linear linear(const std::string& layer, int inputs, const Span& source, bool silu = false,
                  const Order& from = in_order, const Order& to = in_order) const;
    Depthwise depthwise(const std::string& layer, int channels, const Span& source) const;
    // Blocks <stage>.0, <stage>.1, ... that add to a stream of `channels` in `stream`.
    std::vector<Block> stage(const std::string& stage, int channels, const Span& stream) const;

  private:
    const Kernels& kernels_;
    const Tensors& tensors_;
};

// What SiLU makes of integers up to `high` at `unit` fraction bits.
Span silu_span(int unit, std::int32_t high);

}  // namespace lfic::network
