// Pooling, one row of regions at a time: the loops over channels. cpu.cpp includes this file once for every instruction
// set, each time in a namespace of its own; LFIC_TARGET is the attribute of the functions, LFIC_F16C is set where fp16
// converts in hardware.
//
// The 16 cells of a region are rows of C floats, numbered in raster order; those beyond the grid's edge are rows of
// zeros.

// --- fp16 and bf16, round half to even -------------------------------------------------------------------------------

LFIC_TARGET inline float as_float(std::uint32_t bits) {
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
}

LFIC_TARGET inline std::uint32_t as_bits(float x) {
    std::uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    return bits;
}

LFIC_TARGET inline float widened(float x) {
    return x;
}
LFIC_TARGET inline float widened(Bfloat x) {
    return as_float(static_cast<std::uint32_t>(x.bits) << 16);
}
LFIC_TARGET inline float widened(Half x) {
    const std::uint32_t magnitude = x.bits & 0x7fffu, special = magnitude >= 0x7c00u ? 0x7f800000u : 0u;
    const float scaled =
        as_float(magnitude << 13) * 0x1p112f;  // exponents differ by 112; subnormal numbers come out right too
    return as_float(as_bits(scaled) | special | static_cast<std::uint32_t>(x.bits & 0x8000) << 16);
}

LFIC_TARGET inline void narrow(float x, float& out) {
    out = x;
}
LFIC_TARGET inline void narrow(float x, Bfloat& out) {
    const std::uint32_t bits = as_bits(x), rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    out.bits = static_cast<std::uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? 0x7fc0u : rounded);
}
LFIC_TARGET inline void narrow(float x, Half& out) {
    const std::uint32_t bits = as_bits(x), magnitude = bits & 0x7fffffffu;
    const std::uint32_t normal = ((magnitude + 0xfffu + (magnitude >> 13 & 1u)) >> 13) - (112u << 10);
    const std::uint32_t subnormal =
        as_bits(as_float(magnitude) + 0.5f) - 0x3f000000u;  // an ulp of 1/2 is fp16's smallest number
    std::uint32_t half = magnitude < 0x38800000u ? subnormal : normal;
    half = magnitude >= 0x477ff000u ? 0x7c00u : half;  // from 65520 on it is infinite
    half = magnitude > 0x7f800000u ? 0x7e00u : half;
    out.bits = static_cast<std::uint16_t>(half | (bits >> 16 & 0x8000u));
}

template <class T>
LFIC_TARGET void load_row(const T* in, float* __restrict out, std::int64_t n) {
    for (std::int64_t c = 0; c < n; ++c) out[c] = widened(in[c]);
}

template <class T>
LFIC_TARGET void store_row(const float* in, T* __restrict out, std::int64_t n) {
    for (std::int64_t c = 0; c < n; ++c) narrow(in[c], out[c]);
}

#ifdef LFIC_F16C
template <>
LFIC_TARGET void load_row(const Half* in, float* __restrict out, std::int64_t n) {
    std::int64_t c = 0;
    for (; c + 8 <= n; c += 8)
        _mm256_storeu_ps(out + c, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(in + c))));
    for (; c < n; ++c) out[c] = widened(in[c]);
}

template <>
LFIC_TARGET void store_row(const float* in, Half* __restrict out, std::int64_t n) {
    std::int64_t c = 0;
    for (; c + 8 <= n; c += 8)
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out + c),
                         _mm256_cvtps_ph(_mm256_loadu_ps(in + c), _MM_FROUND_TO_NEAREST_INT));
    for (; c < n; ++c) narrow(in[c], out[c]);
}
#endif

// --- cells of a region -----------------------------------------------------------------------------------------------

// Cells whose channels do not lie side by side: [C, 4, 4] -> 16 rows.
template <class T>
LFIC_TARGET void transpose_cells(const T* base, const View& v, const Place& at, std::int64_t channels, float* out,
                                 std::int64_t pitch) {
    std::int64_t c = 0;
#ifdef __SSE__
    if (std::is_same_v<T, float> && v.w == 1 && at.wide == 4)
        for (; c + 4 <= channels; c += 4)
            for (int y = 0; y < at.tall; ++y) {
                const float* from = reinterpret_cast<const float*>(base + c * v.c + y * v.h);
                __m128 p = _mm_loadu_ps(from), q = _mm_loadu_ps(from + v.c), r = _mm_loadu_ps(from + 2 * v.c),
                       s = _mm_loadu_ps(from + 3 * v.c);
                _MM_TRANSPOSE4_PS(p, q, r, s);
                float* to = out + 4 * y * pitch + c;
                _mm_storeu_ps(to, p);
                _mm_storeu_ps(to + pitch, q);
                _mm_storeu_ps(to + 2 * pitch, r);
                _mm_storeu_ps(to + 3 * pitch, s);
            }
#endif
    for (; c < channels; ++c)
        for (int y = 0; y < at.tall; ++y)
            for (int x = 0; x < at.wide; ++x) out[(4 * y + x) * pitch + c] = widened(base[c * v.c + y * v.h + x * v.w]);
}

// cell[16]: where the rows of a region lie, in the tensor itself or converted in `rows`.
template <class T>
LFIC_TARGET void load_cells_of(const View& v, const Place& at, std::int64_t channels, float* rows,
                               const Scratch& scratch, const float** cell) {
    const T* base = static_cast<const T*>(v.data) + at.image * v.n + at.top * v.h + at.left * v.w;
    const bool side_by_side = v.c == 1 || channels == 1;
    if (!side_by_side) transpose_cells(base, v, at, channels, rows, scratch.pitch);
    for (int k = 0; k < 16; ++k) {
        const int y = k / 4, x = k % 4;
        cell[k] = rows + k * scratch.pitch;
        if (y >= at.tall || x >= at.wide) {
            cell[k] = scratch.zeros();
        } else if (side_by_side) {
            const T* from = base + y * v.h + x * v.w;
            if constexpr (std::is_same_v<T, float>)
                cell[k] = from;
            else
                load_row(from, rows + k * scratch.pitch, channels);
        }
    }
}

LFIC_TARGET inline void load_cells(const View& v, const Place& at, std::int64_t channels, float* rows,
                                   const Scratch& scratch, const float** cell) {
    if (v.type == Float::f32)
        load_cells_of<float>(v, at, channels, rows, scratch, cell);
    else if (v.type == Float::f16)
        load_cells_of<Half>(v, at, channels, rows, scratch, cell);
    else
        load_cells_of<Bfloat>(v, at, channels, rows, scratch, cell);
}

// Philox 4x32-10 for kFloats counters from `block` on: words[4][kFloats].
LFIC_TARGET inline void philox(std::uint64_t block, std::uint64_t seed, std::uint32_t (&words)[4][kFloats]) {
    std::uint32_t *c0 = words[0], *c1 = words[1], *c2 = words[2], *c3 = words[3];
    std::uint32_t k0 = static_cast<std::uint32_t>(seed), k1 = static_cast<std::uint32_t>(seed >> 32);
    for (unsigned i = 0; i < kFloats; ++i) {
        c0[i] = static_cast<std::uint32_t>(block) + i;
        c1[i] = static_cast<std::uint32_t>(block >> 32) + (c0[i] < i);
        c2[i] = c3[i] = 0;
    }
    for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u)
        for (unsigned i = 0; i < kFloats; ++i) {
            const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * c0[i], p1 = std::uint64_t{0xCD9E8D57u} * c2[i];
            c0[i] = static_cast<std::uint32_t>(p1 >> 32) ^ c1[i] ^ k0;
            c1[i] = static_cast<std::uint32_t>(p1);
            c2[i] = static_cast<std::uint32_t>(p0 >> 32) ^ c3[i] ^ k1;
            c3[i] = static_cast<std::uint32_t>(p0);
        }
}

// Noise of the 16 cells: cell x of a row of the region takes word x of the block that belongs to the row and to a
// channel.
LFIC_TARGET inline void draw_noise(const Job& job, const Place& at, float* rows, const Scratch& scratch,
                                   const float** cell) {
    const std::int64_t n = job.grid.channels, across = job.grid.columns();
    for (int y = 0; y < at.tall; ++y) {
        const std::int64_t block = ((at.image * job.grid.height + at.top + y) * across + at.left / 4) * n;
        for (std::int64_t c = 0; c < n; c += kFloats) {  // rows have room for whole vectors
            std::uint32_t words[4][kFloats];
            philox(static_cast<std::uint64_t>(block + c), static_cast<std::uint64_t>(*job.noise.seed), words);
            for (int x = 0; x < 4; ++x) {
                float* __restrict out = rows + (4 * y + x) * scratch.pitch + c;
                for (int i = 0; i < kFloats; ++i)
                    out[i] = static_cast<float>(static_cast<std::int32_t>(words[x][i] >> 8)) * 0x1p-24f - 0.5f;
            }
        }
    }
    for (int k = 0; k < 16; ++k)
        cell[k] = k / 4 < at.tall && k % 4 < at.wide ? rows + k * scratch.pitch : scratch.zeros();
}

LFIC_TARGET inline void load_noise(const Job& job, const Place& at, float* rows, const Scratch& scratch,
                                   const float** cell) {
    if (job.noise.seed)
        draw_noise(job, at, rows, scratch, cell);
    else
        load_cells(job.noise.given, at, job.grid.channels, rows, scratch, cell);
}

// --- arithmetic ------------------------------------------------------------------------------------------------------

// round-half-even(clamp(x)); not-a-number stays. Adding 1.5 * 2^23 leaves no bits below one: the addition's own
// rounding does it.
LFIC_TARGET inline float clamped(float x) {
    x = x < -kSymbolLimit ? -kSymbolLimit : x;
    x = x > kSymbolLimit ? kSymbolLimit : x;
    return (x + 12582912.0f) - 12582912.0f;
}

enum class Mode { round, noise, mixed };

template <Mode kMode>
LFIC_TARGET inline float quantized(float mean, float gain, float noise) {
    return kMode == Mode::round ? clamped(mean * gain) : mean * gain + noise;
}

LFIC_TARGET inline void sum4(const float* a, const float* b, const float* c, const float* d, float scale,
                             float* __restrict out, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) out[i] = ((a[i] + b[i]) + (c[i] + d[i])) * scale;
}

// Of a pooled region, from the sums over its quarters: the mean over the region.
LFIC_TARGET inline void whole_mean(const Place& at, std::int64_t n, const Scratch& scratch) {
    sum4(scratch.row(kSums), scratch.row(kSums + 1), scratch.row(kSums + 2), scratch.row(kSums + 3), at.reciprocal(),
         scratch.row(kMeans), n);
}

// Means over the footprints of a pooled region, into the scratch rows from kMeans on: one a quarter at level 1, one in
// all at level 2.
LFIC_TARGET inline void pool(const float* const* cell, const Place& at, std::int64_t n, const Scratch& scratch) {
    for (int q = 0; q < 4; ++q) {
        const float* const* first = cell + first_cell(q);
        const float scale = at.level == 1 ? at.quarter_reciprocal(q) : 1.0f;
        sum4(first[0], first[1], first[4], first[5], scale, scratch.row((at.level == 1 ? kMeans : kSums) + q), n);
    }
    if (at.level == 2) whole_mean(at, n, scratch);
}

// The mean that stands for a cell of a pooled region.
LFIC_TARGET inline float* mean_of(const Place& at, int y, int x, const Scratch& scratch) {
    return scratch.row(at.level == 1 ? kMeans + y / 2 * 2 + x / 2 : kMeans);
}

// --- the training form -----------------------------------------------------------------------------------------------

template <Mode kMode>
LFIC_TARGET void quantize_row(const float* mean, const float* noise, const float* gain, const float* step,
                              float* __restrict symbols, float* __restrict features, std::int64_t n) {
    for (std::int64_t c = 0; c < n; ++c) {
        const float symbol = quantized<kMode>(mean[c], gain[c], kMode == Mode::round ? 0.0f : noise[c]);
        symbols[c] = symbol;
        features[c] = (kMode == Mode::mixed ? clamped(mean[c] * gain[c]) : symbol) * step[c];
    }
}

// One cell, in the type that is stored.
template <class T, Mode kMode>
LFIC_TARGET inline void dense_cell(const float* mean, const float* noise, const Place& at, T* symbols, T* features,
                                   std::int64_t n, const Scratch& scratch) {
    if constexpr (std::is_same_v<T, float>) {
        quantize_row<kMode>(mean, noise, at.gain, at.step, symbols, features, n);
    } else {
        quantize_row<kMode>(mean, noise, at.gain, at.step, scratch.row(0), scratch.row(1), n);
        store_row(scratch.row(0), symbols, n);
        store_row(scratch.row(1), features, n);
    }
}

template <class T, Mode kMode>
LFIC_TARGET void dense_region(const Job& job, const Place& at, const Scratch& scratch) {
    const std::int64_t n = job.grid.channels, line = job.grid.width * n;
    const float *cell[16], *noise[16] = {};
    load_cells(job.y, at, n, scratch.block(0), scratch, cell);
    if constexpr (kMode != Mode::round) load_noise(job, at, scratch.block(1), scratch, noise);
    const std::int64_t origin = ((at.image * job.grid.height + at.top) * job.grid.width + at.left) * n;
    T *symbols = static_cast<T*>(job.symbols) + origin, *features = static_cast<T*>(job.features) + origin;
    if (at.level) pool(cell, at, n, scratch);
    for (int y = 0; y < at.tall; ++y)
        for (int x = 0; x < at.wide; ++x) {
            const int side = 1 << at.level, y0 = y & -side, x0 = x & -side;
            const std::int64_t to = y * line + x * n, from = y0 * line + x0 * n;
            const float* mean = at.level == 0 ? cell[4 * y + x] : mean_of(at, y, x, scratch);
            if (kMode != Mode::round || to == from) {
                dense_cell<T, kMode>(mean, noise[4 * y + x], at, symbols + to, features + to, n, scratch);
            } else {  // rounded, all cells of a footprint hold the same
                std::memcpy(symbols + to, symbols + from, static_cast<std::size_t>(n) * sizeof(T));
                std::memcpy(features + to, features + from, static_cast<std::size_t>(n) * sizeof(T));
            }
        }
}

template <class T>
LFIC_TARGET void dense_regions(const Job& job, std::int64_t image, std::int64_t row, const Scratch& scratch) {
    const bool noisy = job.noise.seed || job.noise.given.data;
    for (std::int64_t column = 0; column < job.grid.columns(); ++column) {
        const Place at = place(job, image, row, column);
        if (!noisy)
            dense_region<T, Mode::round>(job, at, scratch);
        else if (job.noise.mixed)
            dense_region<T, Mode::mixed>(job, at, scratch);
        else
            dense_region<T, Mode::noise>(job, at, scratch);
    }
}

LFIC_TARGET void dense(const Job& job, std::int64_t image, std::int64_t row, const Scratch& scratch) {
    if (job.out == Float::f32)
        dense_regions<float>(job, image, row, scratch);
    else if (job.out == Float::f16)
        dense_regions<Half>(job, image, row, scratch);
    else
        dense_regions<Bfloat>(job, image, row, scratch);
}

// --- its backward ----------------------------------------------------------------------------------------------------

// Gradient at the scaled mean of one cell: through the features, through the symbols.
template <bool kFeatures, bool kSymbols>
LFIC_TARGET inline float total(const float* features, const float* symbols, const float* step, std::int64_t c) {
    return kFeatures && kSymbols ? features[c] * step[c] + symbols[c] : kFeatures ? features[c] * step[c] : symbols[c];
}

template <bool kFeatures, bool kSymbols>
LFIC_TARGET void total_row(const float* f, const float* s, const float* step, const float* gain, float* __restrict out,
                           std::int64_t n) {
    for (std::int64_t c = 0; c < n; ++c) out[c] = total<kFeatures, kSymbols>(f, s, step, c) * gain[c];
}

// Sum over a quarter of the gradients at its cells, times scale.
template <bool kFeatures, bool kSymbols>
LFIC_TARGET void total_sum4(const float* const* f, const float* const* s, const float* step, float scale,
                            float* __restrict out, std::int64_t n) {
    const float *f0 = f[0], *f1 = f[1], *f2 = f[4], *f3 = f[5], *s0 = s[0], *s1 = s[1], *s2 = s[4], *s3 = s[5];
    for (std::int64_t c = 0; c < n; ++c)
        out[c] = ((total<kFeatures, kSymbols>(f0, s0, step, c) + total<kFeatures, kSymbols>(f1, s1, step, c)) +
                  (total<kFeatures, kSymbols>(f2, s2, step, c) + total<kFeatures, kSymbols>(f3, s3, step, c))) *
                 scale;
}

LFIC_TARGET inline void times_row(const float* x, const float* gain, float* __restrict out, std::int64_t n) {
    for (std::int64_t c = 0; c < n; ++c) out[c] = x[c] * gain[c];
}

// What a quarter gives to its row of the tables: sums over its cells of gradient * mean and of gradient at the features
// * symbol. Either result may be null.
template <bool kFeatures, bool kSymbols, Mode kMode>
LFIC_TARGET void table_sum4(const float* const* f, const float* const* s, const float* const* m,
                            const float* const* noise, const Place& at, float* __restrict to_gain,
                            float* __restrict to_step, std::int64_t n) {
    const float *gain = at.gain, *step = at.step;
    const float *f0 = f[0], *f1 = f[1], *f2 = f[4], *f3 = f[5], *s0 = s[0], *s1 = s[1], *s2 = s[4], *s3 = s[5];
    const float *m0 = m[0], *m1 = m[1], *m2 = m[4], *m3 = m[5], *n0 = noise[0], *n1 = noise[1], *n2 = noise[4],
                *n3 = noise[5];
    const std::int64_t gains = to_gain ? n : 0, steps = to_step ? n : 0;
    for (std::int64_t c = 0; c < gains; ++c)
        to_gain[c] =
            (total<kFeatures, kSymbols>(f0, s0, step, c) * m0[c] +
             total<kFeatures, kSymbols>(f1, s1, step, c) * m1[c]) +
            (total<kFeatures, kSymbols>(f2, s2, step, c) * m2[c] + total<kFeatures, kSymbols>(f3, s3, step, c) * m3[c]);
    if constexpr (kFeatures)
        for (std::int64_t c = 0; c < steps; ++c)
            to_step[c] = (f0[c] * quantized<kMode>(m0[c], gain[c], kMode == Mode::round ? 0.0f : n0[c]) +
                          f1[c] * quantized<kMode>(m1[c], gain[c], kMode == Mode::round ? 0.0f : n1[c])) +
                         (f2[c] * quantized<kMode>(m2[c], gain[c], kMode == Mode::round ? 0.0f : n2[c]) +
                          f3[c] * quantized<kMode>(m3[c], gain[c], kMode == Mode::round ? 0.0f : n3[c]));
}

// A region's sums from those of its quarters: added to the row of the table, or stored for later.
LFIC_TARGET inline void finish_sum(const float* q, std::int64_t pitch, float* __restrict out, bool add,
                                   std::int64_t n) {
    const float *a = q, *b = q + pitch, *c = q + 2 * pitch, *d = q + 3 * pitch;
    if (add)
        for (std::int64_t i = 0; i < n; ++i) out[i] += (a[i] + b[i]) + (c[i] + d[i]);
    else
        for (std::int64_t i = 0; i < n; ++i) out[i] = (a[i] + b[i]) + (c[i] + d[i]);
}

template <bool kFeatures, bool kSymbols>
LFIC_TARGET void table_region(const Job& job, const Place& at, const Scratch& scratch, const float* const* f,
                              const float* const* s) {
    const std::int64_t n = job.grid.channels, pitch = scratch.pitch;
    const float *cell[16], *noise[16] = {};
    load_cells(job.y, at, n, scratch.block(2), scratch, cell);
    const bool noisy = kFeatures && job.to_step && (job.noise.seed || job.noise.given.data);
    if (noisy) load_noise(job, at, scratch.block(3), scratch, noise);
    if (at.level) {
        pool(cell, at, n, scratch);
        for (int k = 0; k < 16; ++k)
            if (cell[k] != scratch.zeros()) cell[k] = mean_of(at, k / 4, k % 4, scratch);
    }
    float *gain = job.to_gain ? scratch.row(kSums) : nullptr, *step = job.to_step ? scratch.row(kSums + 4) : nullptr;
    for (int q = 0; q < 4; ++q) {
        const int k = first_cell(q);
        float *to_gain = gain ? gain + q * pitch : nullptr, *to_step = step ? step + q * pitch : nullptr;
        if (noisy)
            table_sum4<kFeatures, kSymbols, Mode::noise>(f + k, s + k, cell + k, noise + k, at, to_gain, to_step, n);
        else
            table_sum4<kFeatures, kSymbols, Mode::round>(f + k, s + k, cell + k, noise + k, at, to_gain, to_step, n);
    }
    if (gain) finish_sum(gain, pitch, job.to_gain + (job.by_region ? at.region : at.table) * n, !job.by_region, n);
    if (kFeatures && step)
        finish_sum(step, pitch, job.to_step + (job.by_region ? at.region : at.table) * n, !job.by_region, n);
}

template <class T, bool kFeatures, bool kSymbols>
LFIC_TARGET void backward_region(const Job& job, const Place& at, const Scratch& scratch) {
    const std::int64_t n = job.grid.channels, line = job.grid.width * n;
    const float *f[16] = {}, *s[16] = {};
    if constexpr (kFeatures) load_cells(job.grad_features, at, n, scratch.block(0), scratch, f);
    if constexpr (kSymbols) load_cells(job.grad_symbols, at, n, scratch.block(1), scratch, s);
    T* out = nullptr;
    if (job.features)
        out = static_cast<T*>(job.features) + ((at.image * job.grid.height + at.top) * job.grid.width + at.left) * n;
    if (out && at.level) {
        for (int q = 0; q < 4; ++q) {
            const float scale = at.level == 1 ? at.quarter_reciprocal(q) : 1.0f;
            total_sum4<kFeatures, kSymbols>(f + first_cell(q), s + first_cell(q), at.step, scale,
                                            scratch.row((at.level == 1 ? kMeans : kSums) + q), n);
        }
        if (at.level == 2) whole_mean(at, n, scratch);
    }
    for (int y = 0; out && y < at.tall; ++y)
        for (int x = 0; x < at.wide; ++x) {
            const int side = 1 << at.level, y0 = y & -side, x0 = x & -side;
            T *to = out + y * line + x * n, *from = out + y0 * line + x0 * n;
            if (to != from) {
                std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(T));
                continue;
            }
            float* row = scratch.row(0);
            if constexpr (std::is_same_v<T, float>) row = to;
            if (at.level == 0)
                total_row<kFeatures, kSymbols>(f[4 * y + x], s[4 * y + x], at.step, at.gain, row, n);
            else
                times_row(mean_of(at, y, x, scratch), at.gain, row, n);
            if constexpr (!std::is_same_v<T, float>) store_row(row, to, n);
        }
    if (job.to_gain || job.to_step) table_region<kFeatures, kSymbols>(job, at, scratch, f, s);
}

template <class T>
LFIC_TARGET void backward_regions(const Job& job, std::int64_t image, std::int64_t row, const Scratch& scratch) {
    for (std::int64_t column = 0; column < job.grid.columns(); ++column) {
        const Place at = place(job, image, row, column);
        if (!job.grad_symbols.data)
            backward_region<T, true, false>(job, at, scratch);
        else if (!job.grad_features.data)
            backward_region<T, false, true>(job, at, scratch);
        else
            backward_region<T, true, true>(job, at, scratch);
    }
}

LFIC_TARGET void backward(const Job& job, std::int64_t image, std::int64_t row, const Scratch& scratch) {
    if (job.out == Float::f32)
        backward_regions<float>(job, image, row, scratch);
    else if (job.out == Float::f16)
        backward_regions<Half>(job, image, row, scratch);
    else
        backward_regions<Bfloat>(job, image, row, scratch);
}

// --- symbols in coding order -----------------------------------------------------------------------------------------

LFIC_TARGET inline void symbol_row(const float* mean, const float* gain, std::int16_t* __restrict out, std::int64_t n) {
    for (std::int64_t c = 0; c < n; ++c) {
        const float scaled = mean[c] * gain[c];
        out[c] = static_cast<std::int16_t>(static_cast<std::int32_t>(clamped(scaled == scaled ? scaled : 0.0f)));
    }
}

LFIC_TARGET void quantize(const Job& job, std::int64_t image, std::int64_t row, const Scratch& scratch) {
    const std::int64_t n = job.grid.channels, capacity = job.grid.height * job.grid.width;
    std::int64_t kept = job.starts[image * job.grid.rows() + row];
    std::int16_t* out = job.ragged + image * capacity * n;
    std::int16_t* tables = job.tables ? job.tables + image * capacity * n : nullptr;
    for (std::int64_t column = 0; column < job.grid.columns(); ++column) {
        const Place at = place(job, image, row, column);
        const float* cell[16];
        load_cells(job.y, at, n, scratch.block(0), scratch, cell);
        if (at.level) pool(cell, at, n, scratch);
        const int side = 1 << at.level;
        for (int y = 0; y < at.tall; y += side)
            for (int x = 0; x < at.wide; x += side, ++kept) {
                symbol_row(at.level == 0 ? cell[4 * y + x] : mean_of(at, y, x, scratch), at.gain, out + kept * n, n);
                if (tables)
                    std::memcpy(tables + kept * n, job.indexes + at.table * n,
                                static_cast<std::size_t>(n) * sizeof(std::int16_t));
            }
    }
    if (row + 1 < job.grid.rows()) return;
    const std::size_t rest = static_cast<std::size_t>((capacity - kept) * n) * sizeof(std::int16_t);
    std::memset(out + kept * n, 0, rest);
    if (tables) std::memset(tables + kept * n, 0, rest);
}

// Symbols that stand for the 16 cells of a region that begins with kept cell `start`; returns how many it keeps.
LFIC_TARGET inline std::int64_t symbol_cells(const Job& job, const Place& at, std::int64_t start,
                                             const Scratch& scratch, const std::int16_t** cell) {
    const std::int64_t n = job.grid.channels;
    const int across = kept_along(at.wide, at.level);
    for (int k = 0; k < 16; ++k) {
        const std::int64_t at_cell = start + (k / 4 >> at.level) * across + (k % 4 >> at.level);
        cell[k] = k / 4 < at.tall && k % 4 < at.wide && at_cell < job.room
                      ? job.coded + (at.image * job.room + at_cell) * n
                      : scratch.no_symbols();
    }
    return static_cast<std::int64_t>(kept_along(at.tall, at.level)) * across;
}

LFIC_TARGET inline void value_row(const std::int16_t* symbols, const float* step, float* __restrict out,
                                  std::int64_t n) {
    for (std::int64_t c = 0; c < n; ++c) out[c] = static_cast<float>(symbols[c]) * step[c];
}

template <class T>
LFIC_TARGET void unpool_regions(const Job& job, std::int64_t image, std::int64_t row, const Scratch& scratch) {
    const std::int64_t n = job.grid.channels, line = job.grid.width * n;
    std::int64_t kept = job.starts[image * job.grid.rows() + row];
    for (std::int64_t column = 0; column < job.grid.columns(); ++column) {
        const Place at = place(job, image, row, column);
        const std::int16_t* cell[16];
        kept += symbol_cells(job, at, kept, scratch, cell);
        T* out = static_cast<T*>(job.features) + ((image * job.grid.height + at.top) * job.grid.width + at.left) * n;
        for (int y = 0; y < at.tall; ++y)
            for (int x = 0; x < at.wide; ++x) {
                const int side = 1 << at.level, y0 = y & -side, x0 = x & -side;
                T *to = out + y * line + x * n, *from = out + y0 * line + x0 * n;
                if (to != from) {
                    std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(T));
                } else if constexpr (std::is_same_v<T, float>) {
                    value_row(cell[4 * y + x], at.step, to, n);
                } else {
                    value_row(cell[4 * y + x], at.step, scratch.row(0), n);
                    store_row(scratch.row(0), to, n);
                }
            }
    }
}

LFIC_TARGET void unpool(const Job& job, std::int64_t image, std::int64_t row, const Scratch& scratch) {
    if (job.out == Float::f32)
        unpool_regions<float>(job, image, row, scratch);
    else if (job.out == Float::f16)
        unpool_regions<Half>(job, image, row, scratch);
    else
        unpool_regions<Bfloat>(job, image, row, scratch);
}

LFIC_TARGET inline void step_sum4(const float* const* f, const std::int16_t* const* s, float* __restrict out,
                                  std::int64_t n) {
    const float *f0 = f[0], *f1 = f[1], *f2 = f[4], *f3 = f[5];
    const std::int16_t *s0 = s[0], *s1 = s[1], *s2 = s[4], *s3 = s[5];
    for (std::int64_t c = 0; c < n; ++c)
        out[c] = (f0[c] * static_cast<float>(s0[c]) + f1[c] * static_cast<float>(s1[c])) +
                 (f2[c] * static_cast<float>(s2[c]) + f3[c] * static_cast<float>(s3[c]));
}

LFIC_TARGET void unpool_backward(const Job& job, std::int64_t image, std::int64_t row, const Scratch& scratch) {
    const std::int64_t n = job.grid.channels, pitch = scratch.pitch;
    std::int64_t kept = job.starts[image * job.grid.rows() + row];
    for (std::int64_t column = 0; column < job.grid.columns(); ++column) {
        const Place at = place(job, image, row, column);
        const std::int16_t* cell[16];
        const float* grad[16];
        kept += symbol_cells(job, at, kept, scratch, cell);
        load_cells(job.grad_features, at, n, scratch.block(0), scratch, grad);
        for (int q = 0; q < 4; ++q) step_sum4(grad + first_cell(q), cell + first_cell(q), scratch.row(kSums + q), n);
        finish_sum(scratch.row(kSums), pitch, job.to_step + (job.by_region ? at.region : at.table) * n, !job.by_region,
                   n);
    }
}

LFIC_TARGET void add_rows(const float* in, float* __restrict out, std::int64_t n) {
    for (std::int64_t c = 0; c < n; ++c) out[c] += in[c];
}
