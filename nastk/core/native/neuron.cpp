// Charge, fire and reset over all time steps in one pass over memory: float32 and float64, any T.
//
// Elements are cut into blocks that stay in the first-level cache while time runs over them; a row is one step of a block.
// Values are those of the operations of nastk/core/model/neuron.py in their order, so spikes and membranes are equal to the
// bit; the build forbids fused multiply-adds. The backward pass is given the input alone and computes the membranes anew.
//
// x, z and their gradients are (T, N), each step dense and the steps `*_step` elements apart; v is (N).

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

namespace {

enum Leak { NONE, DIVIDE, DIVIDE_DECAY, MULTIPLY, MULTIPLY_DECAY, LEAKS };
enum Reset { RUNS_ON, SOFT, HARD, RESETS, SOFT_LATER = RESETS, DUES };
enum Bump { ATAN, LOGISTIC, FAST_SIGMOID, TRIANGLE, TANH, BUMPS };

struct How {  // mirrored by nastk/core/model/fused.py
    int32_t leak, reset, next, detach, at_threshold, bump;
    double k, rest, v_th, v_reset, a, b;

    // What is still to be done to the membrane that a step hands on. It is the one before the reset, also for a reset in the
    // step of the spike; a subtraction at the next step comes after the charge there.
    int due() const { return next && reset == SOFT ? int(SOFT_LATER) : reset; }
};

// Several numbers at once, by the vector types of GCC and Clang: what loops become is not left to the optimiser.
constexpr int BYTES = 64;
template <class F>
struct Pack;
template <>
struct Pack<float> {
    typedef float V __attribute__((vector_size(BYTES)));
    typedef int32_t I __attribute__((vector_size(BYTES)));
    static constexpr int mantissa = 23, bias = 127;
    static constexpr float large = 12582912.0f, most = 87.0f, ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
    static constexpr int terms = 7;
};
template <>
struct Pack<double> {
    typedef double V __attribute__((vector_size(BYTES)));
    typedef int64_t I __attribute__((vector_size(BYTES)));
    static constexpr int mantissa = 52, bias = 1023;
    static constexpr double large = 6755399441055744.0, most = 700.0;
    static constexpr double ln2_high = 6.93145751953125e-1, ln2_low = 1.42860682030941723212e-6;
    static constexpr int terms = 13;
};
template <class F>
using Vec = typename Pack<F>::V;
template <class F>
constexpr int WIDTH = BYTES / sizeof(F);

template <class F>
inline Vec<F> load(const F* p) {
    Vec<F> v;
    std::memcpy(&v, p, sizeof(v));
    return v;
}
template <class F>
inline void store(F* p, const Vec<F>& v) {
    std::memcpy(p, &v, sizeof(v));
}

// Rows that begin where a line of the cache does.
struct alignas(64) Line {
    unsigned char bytes[64];
};
template <class F>
struct Rows {
    std::vector<Line> lines;
    int64_t size;
    Rows(int64_t rows, int64_t size) : lines(rows * size * sizeof(F) / sizeof(Line)), size(size) {}
    F* operator[](int64_t row) { return reinterpret_cast<F*>(lines.data()) + row * size; }
};

// Calls act(std::integral_constant<int, value>) for a value in 0 .. COUNT - 1.
template <int COUNT, class Act>
inline void with(int value, Act act) {
    if constexpr (COUNT == 1) act(std::integral_constant<int, 0>{});
    else if (value == COUNT - 1) act(std::integral_constant<int, COUNT - 1>{});
    else with<COUNT - 1>(value, act);
}

// As many elements as keep that many rows within 32 KiB. It does not depend on threads, so neither do sums over blocks.
template <class F>
int64_t block_for(int64_t rows) {
    return std::clamp<int64_t>(32768 / (rows * BYTES), 4, 1024 / WIDTH<F>) * WIDTH<F>;
}

// Asks for a row before its turn: rows of one block lie far apart, which the processor does not foresee.
template <int WRITE, class F>
inline void ask_for(const F* row, int64_t m) {
    for (int64_t i = 0; i < m; i += 64 / sizeof(F)) __builtin_prefetch(row + i, WRITE, 2);
}

template <class F>
struct Numbers {
    typedef Vec<F> V;
    typedef typename Pack<F>::I I;
    F k, rest, v_th, v_reset, lowest, keep, a, b;
    explicit Numbers(const How& how)
        : k(F(how.k)), rest(F(how.rest)), v_th(F(how.v_th)), v_reset(F(how.v_reset)),
          lowest(how.at_threshold ? v_th : std::nextafter(v_th, std::numeric_limits<F>::infinity())), keep(F(how.detach ? 0 : 1)),
          a(F(how.a)), b(F(how.b)) {}

    static V all(F value) { return V{} + value; }
    I fires(V h) const { return h >= lowest; }
    V spike(V h) const { return fires(h) ? all(1) : V{}; }

    // (1 - z) h + z v_reset, or h - z v_th, for z in {0, 1}: to choose gives the same. Where an infinite membrane fires, 0 h is
    // not a number, and neither is h - h.
    template <int R>
    V reset(V h) const {
        if constexpr (R == SOFT) return h - (fires(h) ? all(v_th) : V{});
        if constexpr (R == HARD) return fires(h) ? v_reset + (h - h) : h;
        return h;
    }

    template <int L>
    V charge(V x, V v) const {
        if constexpr (L == NONE) return v + x;
        V above = v - rest;
        if constexpr (L == DIVIDE) return v - above / k + x;
        if constexpr (L == DIVIDE_DECAY) return v + (x - above) / k;
        if constexpr (L == MULTIPLY) return v - above * k + x;
        return v + (x - above) * k;
    }

    // exp(-w) for w >= 0; NaN stays NaN. A Taylor series after reduction to |r| <= ln(2) / 2, with ln 2 in two parts.
    static V exp_minus(V w) {
        typedef Pack<F> P;
        w = w > P::most ? all(P::most) : w;
        V shifted = w * F(-1.4426950408889634) + P::large, turns = shifted - P::large;
        V r = (-w - turns * P::ln2_high) - turns * P::ln2_low;
        F factorial = 1;
        for (int i = 2; i <= P::terms; ++i) factorial *= F(i);
        V p = all(1 / factorial);
        for (int i = P::terms; i > 0; --i) {
            factorial /= F(i);
            p = p * r + 1 / factorial;
        }
        return p * V(((I)shifted - (I)all(P::large) + P::bias) << P::mantissa);
    }

    template <int B>
    V bump(V h) const {
        V u = h - v_th, w = u < F(0) ? -u : u;
        if constexpr (B == ATAN) return a / (F(1) + (b * u) * (b * u));
        if constexpr (B == FAST_SIGMOID) return a / ((F(1) + b * w) * (F(1) + b * w));
        if constexpr (B == TRIANGLE) {
            V g = F(1) - b * w;
            return a * (g < F(0) ? V{} : g);
        }
        V e = exp_minus((B == LOGISTIC ? a : F(2) * b) * w), bell = e / ((F(1) + e) * (F(1) + e));
        if constexpr (B == LOGISTIC) return a * bell;
        return w >= F(0.5) ? V{} : a * F(4) * bell;
    }

    // From the gradient g of the membrane after the reset to that of h before it, with what comes through the spike (gz); s is
    // the bump at h.
    template <int R>
    V back_through_reset(V g, V h, V s, V gz) const {
        if constexpr (R == SOFT) return g + (gz - keep * (g * v_th)) * s;
        if constexpr (R == HARD) return (fires(h) ? V{} : g) + (gz + keep * (g * (v_reset - h))) * s;
        return g + gz * s;
    }
};

// One step: what is due to `last`, then the charge to h, then the spikes z. `last` may be h itself.
template <class F>
void step_row(int leak, int due, const F* x, const F* last, F* h, F* z, int64_t size, const Numbers<F>& numbers) {
    with<LEAKS>(leak, [&](auto l) {
        with<DUES>(due, [&](auto d) {
            const Numbers<F> n = numbers;
            for (int64_t i = 0; i < size; i += WIDTH<F>) {
                Vec<F> v = load(last + i), c = n.template charge<l.value>(load(x + i), n.template reset<d.value>(v));
                if (d.value == SOFT_LATER) c -= n.fires(v) ? n.all(n.v_th) : Vec<F>{};
                store(h + i, c);
                store(z + i, n.spike(c));
            }
        });
    });
}

template <class F>
void reset_row(int how, const F* h, F* v, int64_t size, const Numbers<F>& numbers) {
    with<RESETS>(how, [&](auto r) {
        const Numbers<F> n = numbers;
        for (int64_t i = 0; i < size; i += WIDTH<F>) store(v + i, n.template reset<r.value>(load(h + i)));
    });
}

// One step back: gv is the gradient of what the step hands on, and then of what it was given; gh that of the membrane h.
template <class F>
void back_row(int bump, int reset, F to_x, F leak, F* gv, const F* h, const F* gz, F* gh, F* gx, int64_t size,
              const Numbers<F>& numbers) {
    with<BUMPS>(bump, [&](auto b) {
        with<RESETS>(reset, [&](auto r) {
            const Numbers<F> n = numbers;
            for (int64_t i = 0; i < size; i += WIDTH<F>) {
                Vec<F> v = load(h + i), s = n.template bump<b.value>(v);
                Vec<F> g = n.template back_through_reset<r.value>(load(gv + i), v, s, load(gz + i));
                store(gh + i, g);
                store(gx + i, g * to_x);
                store(gv + i, g - g * leak);
            }
        });
    });
}

// Back through the reset that was due to `last` when the step began; gh is the gradient after the charge.
template <class F>
void back_through_due(const How& how, F* gv, const F* last, const F* gh, int64_t size, const Numbers<F>& numbers) {
    with<BUMPS>(how.bump, [&](auto b) {
        with<RESETS>(how.reset, [&](auto r) {
            const Numbers<F> n = numbers;
            if (r.value == RUNS_ON) return;
            for (int64_t i = 0; i < size; i += WIDTH<F>) {
                Vec<F> v = load(last + i), s = n.template bump<b.value>(v), g = load(gv + i);
                if (r.value == HARD) g = n.template back_through_reset<HARD>(g, v, s, Vec<F>{});
                else g -= n.keep * (load(gh + i) * n.v_th) * s;
                store(gv + i, g);
            }
        });
    });
}

template <class F>
void start(F* v, const F* v0, int64_t at, int64_t m, const Numbers<F>& n) {
    if (v0) std::memcpy(v, v0 + at, m * sizeof(F));
    else std::fill(v, v + m, n.v_reset);
}

template <class F>
struct Run {
    How how;
    int64_t T, N;
    const F* x;
    int64_t x_step;
    const F* v0;  // or null: the rest value
    int threads;

    // A first membrane was reset already, when that is done in the step of the spike.
    int due(int64_t t) const { return how.next || t > 0 ? how.due() : int(RUNS_ON); }
};

// The last block may be short: what is read for it is copied to a whole row of this room, what is written copied from one.
template <class F>
const F* whole(const F* row, F* room, int64_t m, int64_t size) {
    return m < size ? static_cast<const F*>(std::memcpy(room, row, m * sizeof(F))) : row;
}

template <class F>
void forward(const Run<F>& run, F* z, F* v_end) {
    const Numbers<F> n(run.how);
    const int64_t T = run.T, N = run.N, size = block_for<F>(6), blocks = (N + size - 1) / size;
#pragma omp parallel num_threads(run.threads) if (run.threads > 1)
    {
        Rows<F> rows(3, size);
        F *const v = rows[0], *const x_room = rows[1], *const z_room = rows[2];
#pragma omp for schedule(static)
        for (int64_t block = 0; block < blocks; ++block) {
            const int64_t at = block * size, m = std::min(size, N - at);
            start(v, run.v0, at, m, n);
            for (int64_t t = 0; t < T; ++t) {
                const F* const x = run.x + t * run.x_step + at;
                F* const out = z + t * N + at;
                ask_for<0>(t + 1 < T ? x + run.x_step : run.x + at + m, m);
                ask_for<1>(t + 1 < T ? out + N : z + at + m, m);
                step_row(run.how.leak, run.due(t), whole(x, x_room, m, size), v, v, m < size ? z_room : out, size, n);
                if (m < size) std::memcpy(out, z_room, m * sizeof(F));
            }
            if (!run.how.next) reset_row(run.how.reset, v, v, size, n);
            std::memcpy(v_end + at, v, m * sizeof(F));
        }
    }
}

template <class F>
struct Gradients {
    const F* z;  // or null: zero
    int64_t z_step;
    const F* v_end;  // or null: zero
    F* x;            // or null: not wanted
    F* v0;           // likewise
    double* k;       // likewise
};

template <class F>
void backward(const Run<F>& run, const Gradients<F>& g) {
    const How how = run.how;
    const Numbers<F> n(how);
    const int64_t T = run.T, N = run.N, size = block_for<F>(T + 9), blocks = (N + size - 1) / size;
    const bool divides = how.leak == DIVIDE || how.leak == DIVIDE_DECAY;
    const F with_input = how.leak == DIVIDE_DECAY || how.leak == MULTIPLY_DECAY ? F(1) : F(0);
    const F k = how.leak == NONE ? F(0) : divides ? F(1) / n.k : n.k, to_x = with_input ? k : F(1);
    std::vector<double> sums(g.k ? blocks : 0);
#pragma omp parallel num_threads(run.threads) if (run.threads > 1)
    {
        Rows<F> rows(T + 9, size);
        F *const zero = rows[0], *const unwanted = rows[1], *const room = rows[2];
        F *const x_room = rows[3], *const gz_room = rows[4];
        F *const gv = rows[5], *const gh = rows[6], *const terms = rows[7], *const first = rows[8], *const hs = rows[9];
        // hs is (T, size), the membranes before firing; the row before them is what the first step is given.
#pragma omp for schedule(static)
        for (int64_t block = 0; block < blocks; ++block) {
            const int64_t at = block * size, m = std::min(size, N - at);
            auto x_at = [&](int64_t t) { return run.x + t * run.x_step + at; };
            auto whole_x = [&](int64_t t) { return whole(x_at(t), x_room, m, size); };
            auto gz_at = [&](int64_t t) { return g.z ? g.z + t * g.z_step + at : zero; };
            start(first, run.v0, at, m, n);
            for (int64_t t = 0; t < T; ++t) {
                ask_for<0>(t + 1 < T ? x_at(t + 1) : gz_at(t), m);
                step_row(how.leak, run.due(t), whole_x(t), hs + (t - 1) * size, hs + t * size, unwanted, size, n);
            }
            if (g.v_end) std::memcpy(gv, g.v_end + at, m * sizeof(F));
            else std::fill(gv, gv + m, F(0));
            std::fill(terms, terms + size, F(0));
            for (int64_t t = T - 1; t >= 0; --t) {
                const F *const h = hs + t * size, *const last = h - size;
                F* const out = g.x ? g.x + t * N + at : unwanted;
                F* const gx = m < size ? unwanted : out;
                ask_for<0>(t > 0 ? gz_at(t - 1) : run.x + at + m, m);
                if (g.x) ask_for<1>(t > 0 ? out - N : g.x + (T - 1) * N + at + m, m);
                const F* const gz = g.z ? whole(gz_at(t), gz_room, m, size) : zero;
                back_row(how.bump, how.next ? int(RUNS_ON) : how.reset, to_x, k, gv, h, gz, gh, gx, size, n);
                if (g.x && m < size) std::memcpy(out, gx, m * sizeof(F));
                if (g.k) {
                    const F* const x = whole_x(t);
                    reset_row(run.due(t) == SOFT_LATER ? int(RUNS_ON) : run.due(t), last, room, size, n);
                    for (int64_t i = 0; i < size; i += WIDTH<F>) {
                        Vec<F> decays = with_input * load(x + i) - (load(room + i) - n.rest);
                        store(terms + i, load(terms + i) + load(gh + i) * decays);
                    }
                }
                if (how.next) back_through_due(how, gv, last, gh, size, n);
            }
            if (g.v0) std::memcpy(g.v0 + at, gv, m * sizeof(F));
            if (g.k) {
                std::fill(terms + m, terms + size, F(0));
                double lanes[8] = {};
                for (int64_t i = 0; i < size; i += 8)
                    for (int64_t j = 0; j < 8; ++j) lanes[j] += double(terms[i + j]);
                for (double lane : lanes) sums[block] += lane;
            }
        }
    }
    if (g.k) {
        *g.k = 0;
        for (double sum : sums) *g.k += sum;
    }
}

}  // namespace

#define NEURON(F, SUFFIX)                                                                                                       \
    extern "C" void forward_##SUFFIX(const How* how, int64_t T, int64_t N, const F* x, int64_t x_step, const F* v0, F* z,       \
                                     F* v_end, int32_t threads) {                                                               \
        forward<F>({*how, T, N, x, x_step, v0, threads}, z, v_end);                                                             \
    }                                                                                                                           \
    extern "C" void backward_##SUFFIX(const How* how, int64_t T, int64_t N, const F* x, int64_t x_step, const F* v0,            \
                                      const F* grad_z, int64_t grad_z_step, const F* grad_v_end, F* grad_x, F* grad_v0,         \
                                      double* grad_k, int32_t threads) {                                                        \
        backward<F>({*how, T, N, x, x_step, v0, threads}, {grad_z, grad_z_step, grad_v_end, grad_x, grad_v0, grad_k});          \
    }

NEURON(float, f32)
NEURON(double, f64)
