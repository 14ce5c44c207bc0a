// Convolutions of stride 1 by Winograd's minimal filtering (Lavin and Gray, Fast Algorithms for Convolutional Neural Networks,
// CVPR 2016), and their gradients: a tile of m x m outputs of a kernel r wide takes n x n products for each pair of channels
// instead of m m r r, with n = m + r - 1.
//
// Channels lie last: x is (N, H, W, C), y is (N, H, W, K), both channel counts a multiple of a register; a kernel is
// (K, C, r, r). The size is kept (padding), a dilation of d is d x d convolutions on the pixels d apart. Tiles are taken in
// blocks whose transforms stay in the cache. Sums over tiles are taken in parts that depend on the sizes alone and are added
// in order: the answer does not depend on the number of threads.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <cstdlib>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace {

enum Which { INPUT, OUTPUT, KERNEL };

#if defined(__AVX512F__)
constexpr int BYTES = 64;
#elif defined(__AVX__)
constexpr int BYTES = 32;
#else
constexpr int BYTES = 16;
#endif
constexpr int ROWS = BYTES == 32 ? 4 : 8;    // of a product that are summed in registers at once, two registers each
constexpr int64_t CACHE = 3 << 20;           // bytes that a block's transforms may take
constexpr int64_t MOST = 64, CHUNK = 64;     // tiles of a block; output channels that are done together
constexpr int64_t PARTS = 8, ROOM = 1 << 25; // parts of the sum of a kernel's gradient at most; bytes that they may take

template <class T>
struct Pack {
    typedef T V __attribute__((vector_size(BYTES)));
    static constexpr int64_t width = BYTES / sizeof(T);
};
template <class T>
using Vec = typename Pack<T>::V;
template <class T>
constexpr int64_t WIDTH = Pack<T>::width;

template <class T>
inline Vec<T> load(const T* from) {
    Vec<T> v;
    std::memcpy(&v, from, sizeof(v));
    return v;
}
template <class T>
inline void store(T* to, const Vec<T>& v) {
    std::memcpy(to, &v, sizeof(v));
}

#define INLINE __attribute__((always_inline))

// act(integral_constant 0), act(1), ...: a loop without a loop.
template <class Act, int... I>
INLINE inline void each(std::integer_sequence<int, I...>, const Act& act) {
    (act(std::integral_constant<int, I>{}), ...);
}
template <int COUNT, class Act>
INLINE inline void each(const Act& act) {
    each(std::make_integer_sequence<int, COUNT>{}, act);
}

// The matrices of Cook and Toom for the points 0, 1, -1, 2, -2, 1/2, -1/2 and infinity. Their rows belong to the points, and
// those of p and -p differ in the sign of odd columns alone.
template <int m, int r>
struct Points {
    static constexpr int n = m + r - 1;
    static_assert(n % 2 == 0 && n <= 8);
    double at[7] = {0, 1, -1, 2, -2, 0.5, -0.5};
    double input[n][n] = {}, output[n][m] = {}, kernel[n][r] = {};  // B^T, A, G

    constexpr Points() {
        for (int i = 0; i < n; ++i) {
            double product[n + 1] = {1}, scale = 1;  // the polynomial of the other points, and its value at this one
            int degree = 0;
            for (int j = 0; j < n - 1; ++j) {
                if (j == i) continue;
                for (int k = ++degree; k > 0; --k) product[k] = product[k - 1] - at[j] * product[k];
                product[0] *= -at[j];
                if (i < n - 1) scale *= at[i] - at[j];
            }
            for (int k = 0; k < n; ++k) input[i][k] = product[k];
            double power = 1;
            for (int k = 0; k < std::max(m, r); ++k, power *= at[i < 7 ? i : 0]) {
                const bool infinite = i == n - 1;
                if (k < m) output[i][k] = infinite ? k == m - 1 : power;
                if (k < r) kernel[i][k] = infinite ? k == r - 1 : power / scale;
            }
        }
    }
};

template <class T, int m, int r>
struct Filter {
    static constexpr int n = m + r - 1;
    static constexpr Points<m, r> points{};
    typedef Vec<T> V;

    template <Which MATRIX>
    static constexpr int columns = MATRIX == INPUT ? n : MATRIX == OUTPUT ? m : r;

    template <Which MATRIX>
    static constexpr double factor(int row, int column) {
        if constexpr (MATRIX == INPUT) return points.input[row][column];
        if constexpr (MATRIX == OUTPUT) return points.output[row][column];
        return points.kernel[row][column];
    }

    // to += matrix[ROW][COLUMN] from, where that is not zero.
    template <Which MATRIX, int ROW, int COLUMN>
    INLINE static inline void add(V& to, const V& from) {
        constexpr double by = factor<MATRIX>(ROW, COLUMN);
        if constexpr (by == 1) to += from;
        else if constexpr (by == -1) to -= from;
        else if constexpr (by != 0) to += T(by) * from;
    }

    // out (n) = matrix times in.
    template <Which MATRIX, class In, class Out>
    INLINE static inline void spread(const In& in, const Out& out) {
        each<n / 2 + 1>([&](auto pair) INLINE {
            constexpr int row = pair == 0 ? 0 : 2 * pair - 1;
            constexpr bool single = row == 0 || row == n - 1;
            V sums[2] = {};
            each<columns<MATRIX>>([&](auto j) INLINE { add<MATRIX, row, j>(sums[single ? 0 : j % 2], in(j)); });
            if constexpr (single) out(row, sums[0]);
            else out(row, sums[0] + sums[1]), out(row + 1, sums[0] - sums[1]);
        });
    }

    // The transposed: out = in (n) times matrix.
    template <Which MATRIX, class In, class Out>
    INLINE static inline void gather(const In& in, const Out& out) {
        V total[columns<MATRIX>] = {};
        each<columns<MATRIX>>([&](auto j) INLINE { add<MATRIX, 0, j>(total[j], in(0)); });
        each<n / 2 - 1>([&](auto pair) INLINE {
            constexpr int row = 2 * pair + 1;
            const V one = in(row), two = in(row + 1), both[2] = {one + two, one - two};
            each<columns<MATRIX>>([&](auto j) INLINE { add<MATRIX, row, j>(total[j], both[j % 2]); });
        });
        each<columns<MATRIX>>([&](auto j) INLINE {
            add<MATRIX, n - 1, j>(total[j], in(n - 1));
            out(j, total[j]);
        });
    }

    // Both in two dimensions: in(i, j) and out(i, j, value).
    template <Which MATRIX, class In, class Out>
    INLINE static inline void spread_plane(const In& in, const Out& out) {
        V half[n][columns<MATRIX>];
        for (int j = 0; j < columns<MATRIX>; ++j)
            spread<MATRIX>([&](int i) INLINE { return in(i, j); }, [&](int i, V v) INLINE { half[i][j] = v; });
        for (int i = 0; i < n; ++i)
            spread<MATRIX>([&](int j) INLINE { return half[i][j]; }, [&](int j, V v) INLINE { out(i, j, v); });
    }
    template <Which MATRIX, class In, class Out>
    INLINE static inline void gather_plane(const In& in, const Out& out) {
        V half[columns<MATRIX>][n];
        for (int j = 0; j < n; ++j)
            gather<MATRIX>([&](int i) INLINE { return in(i, j); }, [&](int i, V v) INLINE { half[i][j] = v; });
        for (int i = 0; i < columns<MATRIX>; ++i)
            gather<MATRIX>([&](int j) INLINE { return half[i][j]; }, [&](int j, V v) INLINE { out(i, j, v); });
    }
};

// Numbers that begin where a line of the cache does; whatever was there before.
template <class T>
struct Room {
    std::unique_ptr<void, void (*)(void*)> at;
    explicit Room(int64_t count) : at(count ? std::aligned_alloc(64, (count * sizeof(T) + 63) / 64 * 64) : nullptr, std::free) {
        if (count && !at) throw std::bad_alloc();
    }
    T* data() const { return static_cast<T*>(at.get()); }
};

template <class T>
struct Matrix {
    T* at;
    int64_t row, column;  // distances; that of columns is 1 wherever registers are read
};

// R rows and Q registers of c (+)= a b, summed over `inner`.
template <class T, int R, int Q>
inline void product_in_registers(Matrix<const T> a, Matrix<const T> b, T* c, int64_t c_row, int64_t inner, bool more) {
    Vec<T> sums[R][Q];
    each<R>([&](auto i) INLINE {
        each<Q>([&](auto q) INLINE { sums[i][q] = more ? load(c + i * c_row + q * WIDTH<T>) : Vec<T>{}; });
    });
    for (int64_t l = 0; l < inner; ++l) {
        Vec<T> right[Q];
        each<Q>([&](auto q) INLINE { right[q] = load(b.at + l * b.row + q * WIDTH<T>); });
        each<R>([&](auto i) INLINE {
            const T left = a.at[i * a.row + l * a.column];
            each<Q>([&](auto q) INLINE { sums[i][q] += left * right[q]; });
        });
    }
    each<R>([&](auto i) INLINE { each<Q>([&](auto q) INLINE { store(c + i * c_row + q * WIDTH<T>, sums[i][q]); }); });
}

template <class T, int R, int Q>
void product_rows(Matrix<const T> a, Matrix<const T> b, T* c, int64_t c_row, int64_t rows, int64_t inner, bool more) {
    for (; rows >= R; rows -= R, a.at += R * a.row, c += R * c_row)
        product_in_registers<T, R, Q>(a, b, c, c_row, inner, more);
    if constexpr (R > 1)
        if (rows) product_rows<T, R / 2, Q>(a, b, c, c_row, rows, inner, more);
}

// c (rows, columns) = a (rows, inner) b (inner, columns), added to what is there where there is `more`.
template <class T>
void product(Matrix<const T> a, Matrix<const T> b, T* c, int64_t c_row, int64_t rows, int64_t columns, int64_t inner, bool more) {
    int64_t k = 0;
    for (; k + 2 * WIDTH<T> <= columns; k += 2 * WIDTH<T>)
        product_rows<T, ROWS, 2>(a, {b.at + k, b.row, 1}, c + k, c_row, rows, inner, more);
    if (k < columns) product_rows<T, ROWS, 1>(a, {b.at + k, b.row, 1}, c + k, c_row, rows, inner, more);
}

struct Sizes {
    int64_t N, H, W, C, K, dilation;
};

template <class T, int m, int r>
struct Convolution : Filter<T, m, r> {
    typedef Filter<T, m, r> Base;
    typedef Vec<T> V;
    static constexpr int n = Base::n;
    static constexpr int64_t w = WIDTH<T>;

    struct Place {
        int32_t row, column;
    };
    Sizes s;
    std::vector<Place> places;  // of the tiles of an image, their first output
    int64_t tiles;              // of a block

    Convolution(const Sizes& sizes, int64_t wide) : s(sizes) {
        const int64_t d = s.dilation;
        for (int64_t phase = 0; phase < d * d; ++phase)
            for (int64_t row = phase / d; row < s.H; row += d * m)
                for (int64_t column = phase % d; column < s.W; column += d * m) places.push_back({int32_t(row), int32_t(column)});
        tiles = std::clamp<int64_t>(CACHE / int64_t(n * n * wide * sizeof(T)) / ROWS * ROWS, ROWS, MOST);
    }
    int64_t count() const { return s.N * int64_t(places.size()); }

    // Where in memory the rows and columns of a tile are; below 0: outside.
    template <int SIZE>
    struct Window {
        int64_t image, rows[SIZE], columns[SIZE];
        Window(const Convolution& c, int64_t tile, int64_t channels, int64_t before) {
            const Place place = c.places[tile % c.places.size()];
            image = tile / int64_t(c.places.size()) * c.s.H * c.s.W * channels;
            for (int64_t i = 0; i < SIZE; ++i) {
                const int64_t row = place.row + c.s.dilation * (i - before), column = place.column + c.s.dilation * (i - before);
                rows[i] = row < 0 || row >= c.s.H ? -1 : row * c.s.W * channels;
                columns[i] = column < 0 || column >= c.s.W ? -1 : column * channels;
            }
        }
        bool has(int i, int j) const { return (rows[i] | columns[j]) >= 0; }
    };

    // The transforms of the tiles of a block: to[point][tile][channel], of `channels` channels of x or dy from `first` on.
    template <Which MATRIX>
    void transform(const T* from, int64_t width, int64_t first, int64_t channels, int64_t tile, int64_t count, T* to,
                   int64_t plane) const {
        constexpr int size = Base::template columns<MATRIX>;
        for (int64_t t = 0; t < count; ++t) {
            const Window<size> window(*this, tile + t, width, MATRIX == OUTPUT ? 0 : (r - 1) / 2);
            const T* const image = from + window.image + first;
            for (int64_t c = 0; c < channels; c += w) {
                T* const out = to + t * channels + c;
                auto put = [&](int i, int j, V v) INLINE { store(out + (i * n + j) * plane, v); };
                auto get = [&](int i, int j) INLINE {
                    return window.has(i, j) ? load(image + window.rows[i] + window.columns[j] + c) : V{};
                };
                Base::template spread_plane<MATRIX>(get, put);
            }
        }
    }

    // Back: to y (OUTPUT, written, with a bias if there is one) or dx (added).
    template <Which MATRIX>
    void back(const T* from, int64_t plane, const T* bias, T* to, int64_t width, int64_t first, int64_t channels, int64_t tile,
              int64_t count) const {
        constexpr int size = Base::template columns<MATRIX>;
        for (int64_t t = 0; t < count; ++t) {
            const Window<size> window(*this, tile + t, width, MATRIX == OUTPUT ? 0 : (r - 1) / 2);
            T* const image = to + window.image + first;
            for (int64_t c = 0; c < channels; c += w) {
                const T* const in = from + t * channels + c;
                const V constant = bias ? load(bias + first + c) : V{};
                Base::template gather_plane<MATRIX>(
                    [&](int i, int j) INLINE { return load(in + (i * n + j) * plane); },
                    [&](int i, int j, V v) INLINE {
                        if (!window.has(i, j)) return;
                        T* const pixel = image + window.rows[i] + window.columns[j] + c;
                        store(pixel, MATRIX == OUTPUT ? V(v + constant) : V(load(pixel) + v));
                    });
            }
        }
    }

    // Planes do not lie a power of two apart: they would share the sets of the cache.
    static int64_t plane_of(int64_t tiles, int64_t channels) { return tiles * channels + w; }

    // u (n n, rows, lanes), the transform of a kernel of which `row` and `lane` are the distances of input and output channels,
    // or the other way round.
    static void enter(const T* kernel, int64_t rows, int64_t row, int64_t lanes, int64_t lane, T* u, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
        for (int64_t c = 0; c < rows; ++c)
            for (int64_t k = 0; k < lanes; k += w) {
                V seen[r * r];
                for (int64_t l = 0; l < w; ++l)
                    for (int64_t i = 0; i < r * r; ++i) seen[i][l] = kernel[c * row + (k + l) * lane + i];
                T* const out = u + c * lanes + k;
                Base::template spread_plane<KERNEL>([&](int i, int j) INLINE { return seen[i * r + j]; },
                                                    [&](int i, int j, V v) INLINE { store(out + (i * n + j) * rows * lanes, v); });
            }
    }

    // The kernel's gradient (K, C, r, r) from the parts of that of its transform, (parts, n n, C, K).
    void leave(const T* du, int64_t parts, T* kernel, int threads) const {
#pragma omp parallel for num_threads(threads) schedule(static)
        for (int64_t c = 0; c < s.C; ++c)
            for (int64_t k = 0; k < s.K; k += w) {
                V made[r * r];
                auto sum = [&](int i, int j) INLINE {
                    V total = {};
                    for (int64_t part = 0; part < parts; ++part)
                        total += load(du + ((part * n * n + i * n + j) * s.C + c) * s.K + k);
                    return total;
                };
                Base::template gather_plane<KERNEL>(sum, [&](int i, int j, V v) INLINE { made[i * r + j] = v; });
                for (int64_t l = 0; l < w; ++l)
                    for (int64_t i = 0; i < r * r; ++i) kernel[((k + l) * s.C + c) * r * r + i] = made[i][l];
            }
    }

    void forward(const T* x, const T* kernel, const T* bias, T* y, int threads) const {
        const Room<T> room(n * n * s.C * s.K);
        enter(kernel, s.C, r * r, s.K, s.C * r * r, room.data(), threads);
        const T* const u = room.data();
        const int64_t blocks = (count() + tiles - 1) / tiles, chunk = std::min(s.K, CHUNK);
        const int64_t in_plane = plane_of(tiles, s.C), out_plane = plane_of(tiles, chunk);
#pragma omp parallel num_threads(threads)
        {
            const Room<T> seen(n * n * in_plane), made(n * n * out_plane);
#pragma omp for schedule(static)
            for (int64_t block = 0; block < blocks; ++block) {
                const int64_t tile = block * tiles, here = std::min(tiles, count() - tile);
                transform<INPUT>(x, s.C, 0, s.C, tile, here, seen.data(), in_plane);
                for (int64_t k = 0; k < s.K; k += chunk) {
                    const int64_t some = std::min(chunk, s.K - k);
                    for (int64_t point = 0; point < n * n; ++point)
                        product<T>({seen.data() + point * in_plane, s.C, 1}, {u + point * s.C * s.K + k, s.K, 1},
                                   made.data() + point * out_plane, some, here, some, s.C, false);
                    back<OUTPUT>(made.data(), out_plane, bias, y, s.K, k, some, tile, here);
                }
            }
        }
    }

    // The gradients of x and the kernel; either may be null.
    void backward(const T* x, const T* kernel, const T* dy, T* dx, T* dkernel, int threads) const {
        const int64_t size = n * n * s.C * s.K, most = dkernel ? std::min(PARTS, ROOM / int64_t(size * sizeof(T))) : 4 * PARTS;
        const int64_t parts = std::clamp<int64_t>(count() / tiles, 1, std::max<int64_t>(most, 2));
        const Room<T> turned_room(dx ? size : 0), du_room(dkernel ? parts * size : 0);
        if (dx) enter(kernel, s.K, s.C * r * r, s.C, r * r, turned_room.data(), threads);
        const T* const turned = turned_room.data();
        T* const du = du_room.data();
        const int64_t chunk = std::min(s.K, CHUNK), in_plane = plane_of(tiles, s.C), out_plane = plane_of(tiles, chunk);
        const int64_t each_image = places.size();
#pragma omp parallel num_threads(threads)
        {
            const Room<T> seen(du ? n * n * in_plane : 0), back_in(dx ? n * n * in_plane : 0), made(n * n * out_plane);
#pragma omp for schedule(dynamic)
            for (int64_t part = 0; part < parts; ++part) {
                const int64_t from = s.N * part / parts, to = s.N * (part + 1) / parts, last = to * each_image;
                const int64_t pixels = s.H * s.W * s.C;
                if (dx) std::fill(dx + from * pixels, dx + to * pixels, T(0));
                if (du && from == to) std::fill(du + part * size, du + (part + 1) * size, T(0));
                for (int64_t tile = from * each_image; tile < last; tile += tiles) {
                    const int64_t here = std::min(tiles, last - tile);
                    if (du) transform<INPUT>(x, s.C, 0, s.C, tile, here, seen.data(), in_plane);
                    for (int64_t k = 0; k < s.K; k += chunk) {
                        const int64_t some = std::min(chunk, s.K - k);
                        transform<OUTPUT>(dy, s.K, k, some, tile, here, made.data(), out_plane);
                        for (int64_t point = 0; point < n * n; ++point) {
                            const T* const of = made.data() + point * out_plane;
                            if (dx)
                                product<T>({of, some, 1}, {turned + (point * s.K + k) * s.C, s.C, 1},
                                           back_in.data() + point * in_plane, s.C, here, s.C, some, k > 0);
                            if (du)
                                product<T>({seen.data() + point * in_plane, 1, s.C}, {of, some, 1},
                                           du + ((part * n * n + point) * s.C) * s.K + k, s.K, s.C, some, here, tile > from * each_image);
                        }
                    }
                    if (dx) back<INPUT>(back_in.data(), in_plane, nullptr, dx, s.C, 0, s.C, tile, here);
                }
            }
        }
        if (du) leave(du, parts, dkernel, threads);
    }
};

}  // namespace

#define WINOGRAD(T, SUFFIX, m, r)                                                                                               \
    extern "C" void winograd_forward_##r##_##SUFFIX(const Sizes* sizes, const T* x, const T* kernel, const T* bias, T* y,       \
                                                    int threads) {                                                              \
        Convolution<T, m, r>(*sizes, sizes->C + std::min(sizes->K, CHUNK)).forward(x, kernel, bias, y, threads);                \
    }                                                                                                                           \
    extern "C" void winograd_backward_##r##_##SUFFIX(const Sizes* sizes, const T* x, const T* kernel, const T* dy, T* dx,       \
                                                     T* dkernel, int threads) {                                                 \
        Convolution<T, m, r>(*sizes, 2 * sizes->C + std::min(sizes->K, CHUNK)).backward(x, kernel, dy, dx, dkernel, threads);   \
    }

WINOGRAD(float, f32, 4, 3)
WINOGRAD(float, f32, 4, 5)
WINOGRAD(double, f64, 4, 3)
WINOGRAD(double, f64, 4, 5)

// How many channels a register has, and so what channel counts have to be a multiple of.
extern "C" int winograd_channels_f32() { return WIDTH<float>; }
extern "C" int winograd_channels_f64() { return WIDTH<double>; }
