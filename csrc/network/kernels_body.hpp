// The two loops that take the time, and SiLU: once for every instruction set. kernels.cpp includes this file several
// times, each time in a namespace that has defined vectors before: LFIC_TARGET is the attribute of the functions, and
//
//     Sums      32-bit lanes; kSums of them hold a panel of 16 outputs       I16  16-bit lanes; kHalves of them
//     kPixels   pixels that a tile has at most                               kPanels  panels that it has at most
//
// A tile's sums stay in registers while all of its inputs pass: the weights of a panel are read once for kPixels
// pixels.

LFIC_TARGET LFIC_INLINE I16 silu(I16 p, int unit) {
    const I16 magnitude = abs16(p);
    I16 t;
    if (unit <= 12)
        t = shift_left(min16(magnitude, splat16(32767 >> (12 - unit))), 12 - unit);
    else
        t = shift_right(magnitude, unit - 12);
    const I16 segment = shift_right(t, 12), f = shift_left(and16(t, splat16(4095)), 3);
    I16 r = lookup(kSigmoid[3], segment);
    r = add16(multiply_round(r, f), lookup(kSigmoid[2], segment));
    r = add16(multiply_round(r, f), lookup(kSigmoid[1], segment));
    r = add16(multiply_round(r, f), lookup(kSigmoid[0], segment));
    return subtract16(max16(p, splat16(0)), multiply_round(magnitude, r));
}

template <int M, int P>
LFIC_TARGET static void tile(const LinearCall& call, int first, int panel) {
    const Linear& layer = *call.layer;
    const std::int16_t* in[M];
    for (int i = 0; i < M; ++i) in[i] = call.in[first + i];
    Sums sums[M][P][kSums];
    for (int p = 0; p < P; ++p)
        for (int v = 0; v < kSums; ++v) {
            const Sums bias = load_sums(call.bias + (panel + p) * kPanel + v * (kPanel / kSums));
            for (int i = 0; i < M; ++i) sums[i][p][v] = bias;
        }
    const std::ptrdiff_t pitch = static_cast<std::ptrdiff_t>(layer.inputs) * kPanel;
    const std::int16_t* weights = layer.weights.data() + panel * pitch;
    for (int s = 0; s < call.from.count; ++s) {
        const std::ptrdiff_t begin = call.from.offset[s], end = begin + call.from.length;
        for (std::ptrdiff_t k = begin; k < end; k += 2, weights += 2 * kPanel) {
            Weights w[P][kSums];
            for (int p = 0; p < P; ++p) load_weights(weights + p * pitch, w[p]);
            for (int i = 0; i < M; ++i) {
                const Pair x = load_pair(in[i] + k);
                for (int p = 0; p < P; ++p)
                    for (int v = 0; v < kSums; ++v) sums[i][p][v] = dot(sums[i][p][v], w[p][v], x);
            }
        }
    }
    const I16 low = splat16(layer.low), high = splat16(layer.high);
    for (int p = 0; p < P; ++p) {
        const int output = (panel + p) * kPanel, segment = output / call.to.length;
        const std::ptrdiff_t at = call.to.offset[segment] + output - segment * call.to.length;
        for (int i = 0; i < M; ++i) {
            I16 y[kHalves];
            narrow(sums[i][p], layer.shift.data() + output, y);
            for (int h = 0; h < kHalves; ++h) {
                const int step = h * (kPanel / kHalves);
                if (call.residual) y[h] = add_saturated(y[h], load16(call.residual[first + i] + at + step));
                y[h] = max16(min16(y[h], high), low);
                if (layer.unit != kNoSilu) y[h] = silu(y[h], layer.unit);
                store16(call.out[first + i] + at + step, y[h]);
            }
        }
    }
}

template <int P>
LFIC_TARGET static void tiles(const LinearCall& call, int panel) {
    const int count = (call.pixels + kPixels - 1) / kPixels;
    for (int t = 0; t < count; ++t) {
        const int first = static_cast<int>(static_cast<std::int64_t>(call.pixels) * t / count);
        const int last = static_cast<int>(static_cast<std::int64_t>(call.pixels) * (t + 1) / count);
        switch (last - first) {
            case 1: tile<1, P>(call, first, panel); break;
            case 2: tile<(kPixels < 2 ? 1 : 2), P>(call, first, panel); break;
            case 3: tile<(kPixels < 3 ? 1 : 3), P>(call, first, panel); break;
            case 4: tile<(kPixels < 4 ? 1 : 4), P>(call, first, panel); break;
            case 5: tile<(kPixels < 5 ? 1 : 5), P>(call, first, panel); break;
            case 6: tile<(kPixels < 6 ? 1 : 6), P>(call, first, panel); break;
            case 7: tile<(kPixels < 7 ? 1 : 7), P>(call, first, panel); break;
            case 8: tile<(kPixels < 8 ? 1 : 8), P>(call, first, panel); break;
            case 9: tile<(kPixels < 9 ? 1 : 9), P>(call, first, panel); break;
            case 10: tile<(kPixels < 10 ? 1 : 10), P>(call, first, panel); break;
            default: break;
        }
    }
}

LFIC_TARGET static void linear(const LinearCall& call) {
    const int panels = call.layer->outputs / kPanel;
    int panel = 0;
    for (; panel + kPanels <= panels; panel += kPanels) tiles<kPanels>(call, panel);
    for (; panel < panels; ++panel) tiles<1>(call, panel);
}

LFIC_TARGET static void depthwise(const DepthwiseCall& call) {
    const Depthwise& layer = *call.layer;
    const int pairs = (layer.kernel * layer.kernel + 1) / 2;
    const I16 low = splat16(layer.low), high = splat16(layer.high);
    for (int c = 0; c < layer.channels; c += kLanes) {
        const std::int16_t* weights = layer.weights.data() + static_cast<std::ptrdiff_t>(c) * pairs * 2;
        for (int i = 0; i < call.pixels; ++i) {
            const std::int16_t* in = call.in[i] + c;
            Spread sums;
            load_spread(layer.bias.data() + c, sums);
            for (int t = 0; t < pairs; ++t)
                dot_spread(sums, load16(in + call.taps[2 * t]), load16(in + call.taps[2 * t + 1]),
                           weights + t * 2 * kLanes);
            const I16 y = narrow_spread(sums, layer.shift.data() + c);
            store16(call.out + static_cast<std::ptrdiff_t>(i) * layer.channels + c, max16(min16(y, high), low));
        }
    }
}
