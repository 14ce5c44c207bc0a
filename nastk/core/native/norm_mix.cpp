// Batch norm without scale, mixture and sum: z_j = sum_m w_m norm(y_m), and its gradients (norm_mix.py has the formulas).
//
// Channels lie last: an input is (P, K), P pixels of all samples with K channels in blocks of C. A term reads one block of
// one input and adds to one slot. Sums over pixels are taken in a fixed number of parts, which are added in order: the
// answer does not depend on the number of threads.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

constexpr int64_t PARTS = 32;   // parts of a sum over pixels
constexpr int64_t STRETCH = 64; // pixels that are summed before the sum is widened to double

template <typename T>
struct Job {
    int64_t pixels, channels, terms, slots, inputs;
    const int32_t *tensor, *block, *slot, *normed;
    const int64_t *width;  // channels of each input
    const T *weight;

    int64_t at(int64_t m) const { return block[m] * channels; }
};

// Channels side by side in one register; of clang and gcc.
template <typename T>
struct Register {
    typedef T Lanes __attribute__((vector_size(64)));
    typedef T Few __attribute__((vector_size(16)));
    static constexpr int64_t count = 64 / sizeof(T), few = 16 / sizeof(T);
};

template <typename V, typename T>
V load(const T *from) {
    V v;
    std::memcpy(&v, from, sizeof(V));
    return v;
}

// The channels in groups: run(c, V{}) for as many as a register has, then for a quarter of it, then for each of the rest.
template <typename T, typename Run>
void in_lanes(int64_t channels, const Run &run) {
    int64_t c = 0;
    for (; c + Register<T>::count <= channels; c += Register<T>::count) run(c, typename Register<T>::Lanes{});
    for (; c + Register<T>::few <= channels; c += Register<T>::few) run(c, typename Register<T>::Few{});
    for (; c < channels; ++c) run(c, T{});
}

// one += sum of g, two += sum of g (y - shift), channel by channel; with no g, of y - shift and its square.
template <typename V, typename T>
void sums(const T *g, int64_t g_width, const T *y, int64_t y_width, const T *shift, int64_t pixels, double *one, double *two) {
    const V low = shift ? load<V>(shift) : V{};
    for (int64_t from = 0; from < pixels; from += STRETCH) {
        const int64_t to = std::min(from + STRETCH, pixels);
        V first[2] = {}, second[2] = {};  // two of each, so that an addition need not wait for the one before
        for (int64_t p = from; p < to; ++p) {
            const V d = load<V>(y + p * y_width) - low, f = g ? load<V>(g + p * g_width) : d;
            first[p & 1] += f;
            second[p & 1] += f * d;
        }
        const V sum = first[0] + first[1], product = second[0] + second[1];
        for (size_t k = 0; k < sizeof(V) / sizeof(T); ++k) {
            one[k] += reinterpret_cast<const T *>(&sum)[k];
            two[k] += reinterpret_cast<const T *>(&product)[k];
        }
    }
}

// out = base + the sum over the readings of factor * from, pixel by pixel.
template <typename T>
struct Reading {
    const T *from;
    int64_t width;
    const T *factor;
};

template <typename V, typename T>
void combine(const T *base, const std::vector<Reading<T>> &readings, int64_t c, T *out, int64_t out_width, int64_t pixels) {
    const V start = load<V>(base + c);
    for (int64_t low = 0; low < pixels; low += STRETCH) {
        const int64_t high = std::min(low + STRETCH, pixels);
        V total[STRETCH];
        for (int64_t p = 0; p < high - low; ++p) total[p] = start;
        for (const Reading<T> &r : readings) {
            const V a = load<V>(r.factor + c);
            const T *from = r.from + low * r.width + c;
            for (int64_t p = 0; p < high - low; ++p) total[p] += a * load<V>(from + p * r.width);
        }
        for (int64_t p = 0; p < high - low; ++p) std::memcpy(out + (low + p) * out_width + c, &total[p], sizeof(V));
    }
}

template <typename T>
void moments(const T *y, int64_t pixels, int64_t width, T *mean, T *variance, int threads) {
    std::vector<double> first(PARTS * width, 0.0), second(PARTS * width, 0.0);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t part = 0; part < PARTS; ++part) {
        const int64_t from = pixels * part / PARTS, to = pixels * (part + 1) / PARTS;
        in_lanes<T>(width, [&](int64_t c, auto lanes) {
            // The first pixel is near enough to the mean that nothing is lost in the squares.
            double *one = &first[part * width + c], *two = &second[part * width + c];
            sums<decltype(lanes), T>(nullptr, 0, y + from * width + c, width, y + c, to - from, one, two);
        });
    }
    for (int64_t c = 0; c < width; ++c) {
        double one = 0, two = 0;
        for (int64_t part = 0; part < PARTS; ++part) one += first[part * width + c], two += second[part * width + c];
        one /= pixels, two /= pixels;
        mean[c] = T(y[c] + one);
        variance[c] = T(std::max(two - one * one, 0.0));
    }
}

template <typename T>
T scale_of(const T *variance, double eps) {
    return T(1 / std::sqrt(double(*variance) + eps));
}

template <typename T>
void forward(const Job<T> &job, const T *const *inputs, double eps, T *const *means, T *const *variances, T *const *out, int threads) {
    for (int64_t i = 0; i < job.inputs; ++i)
        if (means[i]) moments(inputs[i], job.pixels, job.width[i], means[i], variances[i], threads);
    std::vector<T> factor(job.terms * job.channels), constant(job.slots * job.channels, T(0));
    for (int64_t m = 0; m < job.terms; ++m)
        for (int64_t c = 0; c < job.channels; ++c) {
            T a = job.weight[m];
            if (job.normed[m]) {
                a *= scale_of(variances[job.tensor[m]] + job.at(m) + c, eps);
                constant[job.slot[m] * job.channels + c] -= a * means[job.tensor[m]][job.at(m) + c];
            }
            factor[m * job.channels + c] = a;
        }
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t part = 0; part < PARTS; ++part) {
        const int64_t from = job.pixels * part / PARTS, to = job.pixels * (part + 1) / PARTS;
        for (int64_t j = 0; j < job.slots; ++j) {
            std::vector<Reading<T>> readings;
            for (int64_t m = 0; m < job.terms; ++m)
                if (job.slot[m] == j) {
                    const int64_t width = job.width[job.tensor[m]];
                    readings.push_back({inputs[job.tensor[m]] + from * width + job.at(m), width, &factor[m * job.channels]});
                }
            in_lanes<T>(job.channels, [&](int64_t c, auto lanes) {
                T *z = out[j] + from * job.channels;
                combine<decltype(lanes)>(&constant[j * job.channels], readings, c, z, job.channels, to - from);
            });
        }
    }
}

template <typename T>
void backward(const Job<T> &job, const T *const *inputs, double eps, const T *const *means, const T *const *variances,
              const T *const *outer, T *const *d_inputs, T *d_weight_MC, int threads) {
    const int64_t size = job.terms * job.channels;
    std::vector<double> of_g(PARTS * size, 0.0), of_gy(PARTS * size, 0.0);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t part = 0; part < PARTS; ++part) {
        const int64_t from = job.pixels * part / PARTS, to = job.pixels * (part + 1) / PARTS;
        for (int64_t m = 0; m < job.terms; ++m) {
            const int64_t width = job.width[job.tensor[m]], channels = job.channels;
            const T *y = inputs[job.tensor[m]] + from * width + job.at(m), *g = outer[job.slot[m]] + from * channels;
            const T *shift = job.normed[m] ? means[job.tensor[m]] + job.at(m) : nullptr;
            in_lanes<T>(channels, [&](int64_t c, auto lanes) {
                const int64_t at = part * size + m * channels + c;
                const T *low = shift ? shift + c : nullptr;
                sums<decltype(lanes), T>(g + c, channels, y + c, width, low, to - from, &of_g[at], &of_gy[at]);
            });
        }
    }
    std::vector<T> of_outer(size), of_input, constant;
    std::vector<int64_t> start(job.inputs + 1, 0);
    for (int64_t i = 0; i < job.inputs; ++i) start[i + 1] = start[i] + job.width[i];
    of_input.assign(start[job.inputs], T(0));
    constant.assign(start[job.inputs], T(0));
    for (int64_t m = 0; m < job.terms; ++m)
        for (int64_t c = 0; c < job.channels; ++c) {
            double g = 0, gy = 0;
            for (int64_t part = 0; part < PARTS; ++part) {
                g += of_g[part * size + m * job.channels + c];
                gy += of_gy[part * size + m * job.channels + c];
            }
            T a = job.weight[m];
            if (job.normed[m]) {
                const int64_t i = job.tensor[m], at = job.at(m) + c;
                const T scale = scale_of(variances[i] + at, eps);
                const double s = gy * scale;
                d_weight_MC[m * job.channels + c] = T(s);
                a *= scale;
                const double slope = -double(a) * scale * s / job.pixels;
                of_input[start[i] + at] += T(slope);
                constant[start[i] + at] += T(-double(a) * g / job.pixels - slope * means[i][at]);
            } else {
                d_weight_MC[m * job.channels + c] = T(gy);
            }
            of_outer[m * job.channels + c] = a;
        }
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t part = 0; part < PARTS; ++part) {
        const int64_t from = job.pixels * part / PARTS, to = job.pixels * (part + 1) / PARTS;
        for (int64_t i = 0; i < job.inputs; ++i)
            for (int64_t at = 0; at < job.width[i]; at += job.channels) {  // block by block
                const int64_t place = from * job.width[i] + at;
                std::vector<Reading<T>> readings{{inputs[i] + place, job.width[i], &of_input[start[i] + at]}};
                for (int64_t m = 0; m < job.terms; ++m)
                    if (job.tensor[m] == i && job.at(m) == at)
                        readings.push_back({outer[job.slot[m]] + from * job.channels, job.channels, &of_outer[m * job.channels]});
                in_lanes<T>(job.channels, [&](int64_t c, auto lanes) {
                    combine<decltype(lanes)>(&constant[start[i] + at], readings, c, d_inputs[i] + place, job.width[i], to - from);
                });
            }
    }
}

}  // namespace

#define NASTK_NORM_MIX(T, SUFFIX)                                                                                               \
    extern "C" void norm_mix_moments_##SUFFIX(const T *y, int64_t pixels, int64_t width, T *mean, T *variance, int threads) {   \
        moments(y, pixels, width, mean, variance, threads);                                                                    \
    }                                                                                                                           \
    extern "C" void norm_mix_forward_##SUFFIX(const int64_t *sizes, const int32_t *tensor, const int32_t *block,                \
                                              const int32_t *slot, const int32_t *normed, const int64_t *width,                 \
                                              const T *weight, const T *const *inputs, double eps, T *const *means,             \
                                              T *const *variances, T *const *out, int threads) {                                \
        forward(Job<T>{sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], tensor, block, slot, normed, width, weight}, inputs,   \
                eps, means, variances, out, threads);                                                                           \
    }                                                                                                                           \
    extern "C" void norm_mix_backward_##SUFFIX(const int64_t *sizes, const int32_t *tensor, const int32_t *block,               \
                                               const int32_t *slot, const int32_t *normed, const int64_t *width,                \
                                               const T *weight, const T *const *inputs, double eps, const T *const *means,      \
                                               const T *const *variances, const T *const *outer, T *const *d_inputs,            \
                                               T *d_weight_MC, int threads) {                                                   \
        backward(Job<T>{sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], tensor, block, slot, normed, width, weight}, inputs,  \
                 eps, means, variances, outer, d_inputs, d_weight_MC, threads);                                                 \
    }

NASTK_NORM_MIX(float, f32)
NASTK_NORM_MIX(double, f64)
