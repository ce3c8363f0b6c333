// Convolution of any stride, padding, dilation and number of groups on the host, as a matrix
// product whose columns are never all in memory: a band of the image is copied with its padding
// into the cache, and panels of the columns are gathered from it as the product needs them.
#pragma once

#include <cstring>

#include "host/gemm.h"

namespace tl {

// Channels and filters are those of one group.
struct ConvShape {
    Index images, groups, channels, height, width, filters, kernel_h, kernel_w, stride_h, stride_w;
    Index pad_h, pad_w, dilation_h, dilation_w, out_h, out_w;

    Index in_pixels() const { return height * width; }
    Index out_pixels() const { return out_h * out_w; }
    Index taps() const { return kernel_h * kernel_w; }
    Index depth() const { return channels * taps(); }  // taps of one filter
};

// Rows of output that are computed from one copied band of the input.
struct Band {
    const ConvShape& shape;
    Index rows;                      // rows of output
    Index in_rows, in_width, plane;  // the copied input, one plane a channel

    // As many rows as keep `channels` planes within a quarter megabyte, and at most `limit`.
    template <typename T>
    static Band fitting(const ConvShape& s, Index channels, Index limit, T) {
        const Index width = (s.out_w - 1) * s.stride_w + (s.kernel_w - 1) * s.dilation_w + 1;
        const Index halo = (s.kernel_h - 1) * s.dilation_h + 1;
        const Index in_rows = (256 << 10) / Index(sizeof(T)) / (width * channels);
        const Index rows =
            std::clamp<Index>((in_rows - halo) / s.stride_h + 1, 1, std::min(limit, s.out_h));
        const Index needed = (rows - 1) * s.stride_h + halo;
        return {s, rows, needed, width, needed * width};
    }

    // Copies the input of output rows from `first_row` on, zero outside the image.
    template <typename T>
    void copy(const T* image, Index channels, Index first_row, T* to) const {
        const Index top = first_row * shape.stride_h - shape.pad_h;
        const Index left = std::min(shape.pad_w, in_width);
        const Index inside = std::clamp<Index>(in_width - left, 0, shape.width);
        for (Index c = 0; c < channels; c++)
            for (Index r = 0; r < in_rows; r++, to += in_width) {
                const Index y = top + r;
                if (y < 0 || y >= shape.height) {
                    std::fill_n(to, in_width, T(0));
                    continue;
                }
                std::fill_n(to, left, T(0));
                std::copy_n(image + (c * shape.height + y) * shape.width, inside, to + left);
                std::fill_n(to + left + inside, in_width - left - inside, T(0));
            }
    }

    // Where in the band each tap of `channels` channels, and each pixel of the output, begins;
    // filled up to whole panels.
    List<int> tap_offsets(Index channels, Index panel) const {
        List<int> offsets;
        for (Index c = 0; c < channels; c++)
            for (Index i = 0; i < shape.kernel_h; i++)
                for (Index j = 0; j < shape.kernel_w; j++)
                    offsets.push_back(c * plane + i * shape.dilation_h * in_width +
                                      j * shape.dilation_w);
        offsets.resize(round_up(offsets.size(), panel));
        return offsets;
    }
    List<int> pixel_offsets(Index panel) const {
        List<int> offsets;
        for (Index i = 0; i < rows; i++)
            for (Index j = 0; j < shape.out_w; j++)
                offsets.push_back(i * shape.stride_h * in_width + j * shape.stride_w);
        offsets.resize(round_up(offsets.size(), panel));
        return offsets;
    }
};

// A run of neighbours in a band: where it is read from, and its place in a panel.
struct Run {
    int from, to;
};

// Copies runs into every row of a panel, each as a vector of `reach` elements.
template <int reach, typename T>
inline void copy_runs(const T* band, const int* along, Index depth, const Run* runs, int count,
                      T* to) {
    struct Vector {
        T element[reach];
    };
    for (Index p = 0; p < depth; p++, to += kTileCols<T>) {
        const T* from = band + along[p];
        for (int r = 0; r < count; r++) {
            Vector elements;
            std::memcpy(&elements, from + runs[r].from, sizeof elements);
            std::memcpy(to + runs[r].to, &elements, sizeof elements);
        }
    }
}

// to[p][e] = band[along[p] + across[e]] for one panel.
//
// What a vector holds past the end of a run is overwritten by the next one, so `band` is read and
// `to` is written up to one panel's width past its end.
template <typename T>
inline void gather_panel(const T* band, const int* along, Index depth, const int* across, T* to) {
    constexpr int width = kTileCols<T>;
    Run runs[width];
    int count = 0, longest = 0;
    for (int e = 0; e < width; e++) {
        if (e == 0 || across[e] != across[e - 1] + 1) runs[count++] = {across[e], e};
        longest = std::max(longest, e + 1 - runs[count - 1].to);
    }
    const auto copy = longest == 1           ? copy_runs<1, T>
                      : longest <= 4         ? copy_runs<4, T>
                      : longest <= width / 2 ? copy_runs<width / 2, T>
                                             : copy_runs<width, T>;
    copy(band, along, depth, runs, count, to);
}

// y = bias + w ∗ x
template <typename T>
void convolve(const ConvShape& s, const T* x, const T* w, const T* bias, T* y) {
    constexpr Index width = kTileCols<T>;
    const Index channels = s.channels, filters = s.filters, depth = s.depth();
    const Index units = s.images * s.groups;
    if (units * s.out_pixels() == 0) return;
    const Index bands_wanted = ceil_div(4 * num_threads(), units);
    const Band band = Band::fitting(s, channels, ceil_div(s.out_h, bands_wanted), T());
    const List<int> taps = band.tap_offsets(channels, 1), pixels = band.pixel_offsets(width);
    const Index bands = ceil_div(s.out_h, band.rows), padded_filters = round_up(filters, kTileRows);

    // Filters as panels of A: [group][block of depth][panel].
    Workspace<T> packed(s.groups * padded_filters * depth);
    for (Index group = 0; group < s.groups; group++)
        for (Index k = 0; k < depth; k += kDepth)
            pack<kTileRows, T>(filters, std::min(kDepth, depth - k),
                               w + group * filters * depth + k, depth, 1,
                               packed + padded_filters * (group * depth + k));

    parallel(units * bands, [&](Index task) {
        const Index unit = task / bands, first_row = task % bands * band.rows,
                    group = unit % s.groups;
        const Index count = std::min(band.rows, s.out_h - first_row) * s.out_w;
        Workspace<T> input(channels * band.plane + width),
            panel(width * std::min(depth, kDepth) + width);
        band.copy(x + unit * channels * s.in_pixels(), channels, first_row, (T*)input);
        T* out = y + unit * filters * s.out_pixels() + first_row * s.out_w;
        for (Index q = 0; q < count; q += width)
            for (Index k = 0; k < depth; k += kDepth) {
                const Index block = std::min(kDepth, depth - k);
                Start<T> start{k > 0 ? out + q : nullptr, s.out_pixels()};
                if (k == 0 && bias) start.row_bias = bias + group * filters;
                gather_panel<T>(input, taps.data() + k, block, pixels.data() + q, panel);
                block_product<T>(filters, std::min(width, count - q), block,
                                 {packed + padded_filters * (group * depth + k), kTileRows * block,
                                  kTileRows, 1},
                                 {panel, 0, width, 1}, out + q, s.out_pixels(), start);
            }
    });
}

// Adds the columns of output rows [first, first + rows) into the image they were taken from
// (col2im).
template <typename T>
void add_columns(const ConvShape& s, Index channels, Index first, Index rows, const T* columns,
                 T* image) {
    for (Index c = 0; c < channels; c++, image += s.height * s.width)
        for (Index i = 0; i < s.kernel_h; i++)
            for (Index j = 0; j < s.kernel_w; j++) {
                const Index shift =
                    j * s.dilation_w - s.pad_w;  // x = column * stride + shift, inside the image
                const Index begin = shift < 0 ? ceil_div(-shift, s.stride_w) : 0;
                const Index end =
                    s.width > shift ? std::min(s.out_w, ceil_div(s.width - shift, s.stride_w)) : 0;
                for (Index r = 0; r < rows; r++, columns += s.out_w) {
                    const Index y = (first + r) * s.stride_h + i * s.dilation_h - s.pad_h;
                    if (y < 0 || y >= s.height) continue;
                    T* to = image + y * s.width + shift;
                    if (s.stride_w == 1)
                        for (Index x = begin; x < end; x++) to[x] += columns[x];
                    else
                        for (Index x = begin; x < end; x++) to[x * s.stride_w] += columns[x];
                }
            }
}

// dx = wᵀ ∗ g: columns of the input's gradient by a product, added where they belong.
template <typename T>
void convolve_input_gradient(const ConvShape& s, const T* g, const T* w, T* dx) {
    const Index channels = s.channels, filters = s.filters, depth = s.depth();
    const Index units = s.images * s.groups, pixels = s.out_pixels();
    if (units * channels == 0) return;
    // Channels are divided where images are too few for all threads; a block of rows keeps the
    // columns in the cache.
    const Index parts = std::min(channels, ceil_div(4 * num_threads(), units));
    const Index part_channels = ceil_div(channels, parts);
    const Index cached = (256 << 10) / Index(sizeof(T)) / (part_channels * s.taps() * s.out_w + 1);
    const Index rows = std::clamp<Index>(cached, 1, std::max<Index>(1, s.out_h));
    parallel(units * parts, [&](Index task) {
        const Index unit = task / parts, first = task % parts * part_channels;
        const Index count = std::min(part_channels, channels - first), group = unit % s.groups;
        if (count <= 0) return;
        T* image = dx + (unit * channels + first) * s.in_pixels();
        std::fill_n(image, count * s.in_pixels(), T(0));
        Workspace<T> columns(count * s.taps() * rows * s.out_w);
        for (Index row = 0; row < s.out_h; row += rows) {
            const Index block = std::min(rows, s.out_h - row);
            gemm(Product<T>{count * s.taps(),
                            block * s.out_w,
                            filters,
                            {w + group * filters * depth + first * s.taps(), 1, depth},
                            {g + unit * filters * pixels + row * s.out_w, pixels, 1},
                            columns,
                            block * s.out_w});
            add_columns(s, count, row, block, (const T*)columns, image);
        }
    });
}

// dbias = g summed over images and pixels
template <typename T>
void convolve_bias_gradient(const ConvShape& s, const T* g, T* dbias) {
    const Index filters = s.groups * s.filters, pixels = s.out_pixels();
    parallel_range(filters, 1 + 16384 / (s.images * pixels + 1), [&](Index first, Index last) {
        for (Index f = first; f < last; f++) {
            double total = 0;
            for (Index n = 0; n < s.images; n++) {
                const T* plane = g + (n * filters + f) * pixels;
                T sum = 0;
#pragma omp simd reduction(+ : sum)
                for (Index p = 0; p < pixels; p++) sum += plane[p];
                total += sum;
            }
            dbias[f] = total;
        }
    });
}

// dw = g ∗ x, summed over the images in a fixed number of parts, so that the result does not depend
// on the threads.
template <typename T>
void convolve_weight_gradient(const ConvShape& s, const T* x, const T* g, T* dw) {
    constexpr Index width = kTileCols<T>;
    const Index channels = s.channels, filters = s.filters, depth = s.depth();
    const Index size = s.groups * filters * depth;
    if (s.images * s.out_pixels() * size == 0) return (void)std::fill_n(dw, size, T(0));
    const Index parts =
        std::clamp<Index>((4 << 20) / std::max<Index>(size, 1), 1, std::min<Index>(16, s.images));
    // Channels in blocks whose gradient and columns fit the second-level cache.
    const Index block_channels = std::clamp<Index>(512 / s.taps(), 1, channels);
    const Index blocks = ceil_div(channels, block_channels);
    const Band band = Band::fitting(s, block_channels, std::max<Index>(1, 256 / s.out_w), T());
    const List<int> taps = band.tap_offsets(block_channels, width),
                           pixels = band.pixel_offsets(1);
    Workspace<T> sums(parts * size);

    parallel(parts * s.groups * blocks, [&](Index task) {
        const Index part = task / (s.groups * blocks), group = task / blocks % s.groups;
        const Index first = task % blocks * block_channels,
                    count = std::min(block_channels, channels - first);
        const Index columns = count * s.taps();
        // Padded to whole panels, which are cheaper to add to than parts of one.
        const Index padded = round_up(columns, width);
        Workspace<T> sum(filters * padded), input(block_channels * band.plane + width),
            panel(width * pixels.size() + width);
        std::fill_n((T*)sum, filters * padded, T(0));
        for (Index n = part * s.images / parts; n < (part + 1) * s.images / parts; n++)
            for (Index row = 0; row < s.out_h; row += band.rows) {
                const Index block = std::min(band.rows, s.out_h - row) * s.out_w;
                band.copy(x + ((n * s.groups + group) * channels + first) * s.in_pixels(), count,
                          row, (T*)input);
                const T* gradient =
                    g + (n * s.groups + group) * filters * s.out_pixels() + row * s.out_w;
                for (Index k = 0; k < columns; k += width) {
                    gather_panel<T>(input, pixels.data(), block, taps.data() + k, panel);
                    block_product<T>(filters, width, block,
                                     {gradient, kTileRows * s.out_pixels(), 1, s.out_pixels()},
                                     {panel, 0, width, 1}, sum + k, padded, {sum + k, padded});
                }
            }
        T* to = sums + part * size + group * filters * depth + first * s.taps();
        for (Index f = 0; f < filters; f++) std::copy_n(sum + f * padded, columns, to + f * depth);
    });
    parallel_range(size, 4096, [&](Index begin, Index end) {
        std::copy(sums + begin, sums + end, dw + begin);
        for (Index part = 1; part < parts; part++)
            for (Index i = begin; i < end; i++) dw[i] += sums[part * size + i];
    });
}

}  // namespace tl
