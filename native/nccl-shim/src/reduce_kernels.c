/* Compiled once for each vector width; REDUCE_TABLE names the table. */
#include <string.h>

#include "half.h"
#include "reduce.h"
#include "vectors.h"

#define INLINE static inline __attribute__((always_inline))

enum { TILE = 4, TREE_DEPTH = 8 };

/* How a type is loaded into vectors A, that are computed with, and stored. */
#define DEFINE_PLAIN(T, A)                                           \
    INLINE A load_##T(const char *from) {                            \
        A value;                                                     \
        memcpy(&value, from, sizeof value);                          \
        return value;                                                \
    }                                                                \
    INLINE void store_##T(char *to, A value) { memcpy(to, &value, sizeof value); }
#define DEFINE_HALF(T)                                               \
    INLINE f32v load_##T(const char *from) {                         \
        u16h raw;                                                    \
        memcpy(&raw, from, sizeof raw);                              \
        return T##_widen(raw);                                       \
    }                                                                \
    INLINE void store_##T(char *to, f32v value) {                    \
        u16h raw = T##_narrow(value);                                \
        memcpy(to, &raw, sizeof raw);                                \
    }
DEFINE_PLAIN(f32, f32v)
DEFINE_PLAIN(f64, f64v)
DEFINE_PLAIN(i32, i32v)
DEFINE_PLAIN(i64, i64v)
DEFINE_HALF(f16)
DEFINE_HALF(bf16)

/* Integers wrap: computed unsigned. Where an input is NaN, min and max are NaN. */
#define DEFINE_OPERATORS(K, A, U, M)                                                                    \
    INLINE A sum_##K(A left, A right) { return (A)((U)left + (U)right); }                               \
    INLINE A product_##K(A left, A right) { return (A)((U)left * (U)right); }                           \
    INLINE A choose_##K(M which, A left, A right) { return (A)(((M)left & which) | ((M)right & ~which)); } \
    INLINE A min_##K(A left, A right) { return choose_##K((M)(left < right) | (M)(left != left), left, right); } \
    INLINE A max_##K(A left, A right) { return choose_##K((M)(left > right) | (M)(left != left), left, right); }
DEFINE_OPERATORS(f32, f32v, f32v, i32v)
DEFINE_OPERATORS(f64, f64v, f64v, i64v)
DEFINE_OPERATORS(i32, i32v, u32v, i32v)
DEFINE_OPERATORS(i64, i64v, u64v, i64v)

INLINE f32v divide_f32(f32v value, int32_t divisor) { return value / (float)divisor; }
INLINE f64v divide_f64(f64v value, int32_t divisor) { return value / (double)divisor; }
INLINE i32v divide_i32(i32v value, int32_t divisor) { return value / divisor; }
INLINE i64v divide_i64(i64v value, int32_t divisor) { return value / (int64_t)divisor; }

/* One kernel: type T, accumulated as K in vectors A, S bytes of T for one such vector, operator OP.
 * tree() reduces TILE vectors of all sources; run() walks the tiles, with the usual counts of sources and destinations known to the
 * compiler; the last, partial tile goes through padded copies. */
#define DEFINE_KERNEL(T, K, A, OP)                                                                                                     \
    INLINE void tree_##T##_##OP(A *sum, const char *const *source, int32_t sources, int64_t at) {                                      \
        enum { S = sizeof(A) * sizeof(T##_lane) / sizeof(K##_lane) };                                                                  \
        A part[TREE_DEPTH][TILE];                                                                                                      \
        int32_t depth = 0;                                                                                                             \
        for (int32_t s = 0; s < sources; s++) {                                                                                        \
            for (int u = 0; u < TILE; u++) part[depth][u] = load_##T(source[s] + at + u * S);                                          \
            depth++;                                                                                                                   \
            for (int32_t carry = s; carry & 1; carry >>= 1, depth--)                                                                   \
                for (int u = 0; u < TILE; u++) part[depth - 2][u] = OP##_##K(part[depth - 2][u], part[depth - 1][u]);                  \
        }                                                                                                                              \
        for (; depth > 1; depth--)                                                                                                     \
            for (int u = 0; u < TILE; u++) part[depth - 2][u] = OP##_##K(part[depth - 2][u], part[depth - 1][u]);                      \
        for (int u = 0; u < TILE; u++) sum[u] = part[0][u];                                                                            \
    }                                                                                                                                  \
    INLINE void run_##T##_##OP(char *const *destination, int32_t destinations, const char *const *source, int32_t sources,             \
                               int64_t tiles, int32_t divisor) {                                                                       \
        enum { S = sizeof(A) * sizeof(T##_lane) / sizeof(K##_lane) };                                                                  \
        const char *s0 = source[0], *s1 = source[sources > 1 ? 1 : 0];                                                                 \
        const char *s2 = source[sources > 2 ? 2 : 0], *s3 = source[sources > 3 ? 3 : 0];                                               \
        char *d0 = destination[0], *d1 = destination[destinations > 1 ? 1 : 0];                                                        \
        for (int64_t tile = 0; tile < tiles; tile++) {                                                                                 \
            int64_t at = tile * TILE * S;                                                                                              \
            A sum[TILE];                                                                                                               \
            if (sources == 2)                                                                                                          \
                for (int u = 0; u < TILE; u++) sum[u] = OP##_##K(load_##T(s0 + at + u * S), load_##T(s1 + at + u * S));                \
            else if (sources == 4)                                                                                                     \
                for (int u = 0; u < TILE; u++)                                                                                         \
                    sum[u] = OP##_##K(OP##_##K(load_##T(s0 + at + u * S), load_##T(s1 + at + u * S)),                                  \
                                      OP##_##K(load_##T(s2 + at + u * S), load_##T(s3 + at + u * S)));                                 \
            else                                                                                                                       \
                tree_##T##_##OP(sum, source, sources, at);                                                                             \
            if (divisor > 1)                                                                                                           \
                for (int u = 0; u < TILE; u++) sum[u] = divide_##K(sum[u], divisor);                                                   \
            for (int u = 0; u < TILE; u++) store_##T(d0 + at + u * S, sum[u]);                                                         \
            if (destinations > 1)                                                                                                      \
                for (int u = 0; u < TILE; u++) store_##T(d1 + at + u * S, sum[u]);                                                     \
            for (int32_t d = 2; d < destinations; d++)                                                                                 \
                for (int u = 0; u < TILE; u++) store_##T(destination[d] + at + u * S, sum[u]);                                         \
        }                                                                                                                              \
    }                                                                                                                                  \
    static __attribute__((noinline)) void rest_##T##_##OP(char *const *destination, int32_t destinations, const char *const *source,   \
                                                          int32_t sources, int64_t from, int64_t bytes, int32_t divisor) {             \
        char padded[REDUCE_SOURCES_MAX][sizeof(A) * TILE], sum[sizeof(A) * TILE], *sum_at = sum;                                       \
        const char *padded_at[REDUCE_SOURCES_MAX];                                                                                     \
        for (int32_t s = 0; s < sources; s++) {                                                                                        \
            memset(padded[s], 0, sizeof padded[s]);                                                                                    \
            memcpy(padded[s], source[s] + from, (size_t)bytes);                                                                        \
            padded_at[s] = padded[s];                                                                                                  \
        }                                                                                                                              \
        run_##T##_##OP(&sum_at, 1, padded_at, sources, 1, divisor);                                                                    \
        for (int32_t d = 0; d < destinations; d++) memcpy(destination[d] + from, sum, (size_t)bytes);                                  \
    }                                                                                                                                  \
    static void T##_##OP(char *const *destination, int32_t destinations, const char *const *source, int32_t sources, int64_t count,    \
                         int32_t divisor) {                                                                                            \
        enum { S = sizeof(A) * sizeof(T##_lane) / sizeof(K##_lane) };                                                                  \
        int64_t bytes = count * (int64_t)sizeof(T##_lane), tiles = bytes / (TILE * S), whole = tiles * TILE * S;                       \
        if (sources == 2 && destinations == 1)                                                                                         \
            run_##T##_##OP(destination, 1, source, 2, tiles, divisor);                                                                 \
        else if (sources == 2 && destinations == 2)                                                                                    \
            run_##T##_##OP(destination, 2, source, 2, tiles, divisor);                                                                 \
        else if (sources == 4)                                                                                                         \
            run_##T##_##OP(destination, destinations, source, 4, tiles, divisor);                                                      \
        else                                                                                                                           \
            run_##T##_##OP(destination, destinations, source, sources, tiles, divisor);                                                \
        if (bytes > whole) rest_##T##_##OP(destination, destinations, source, sources, whole, bytes - whole, divisor);                 \
    }

typedef float f32_lane;
typedef double f64_lane;
typedef int32_t i32_lane;
typedef int64_t i64_lane;
typedef uint16_t f16_lane;
typedef uint16_t bf16_lane;

#define DEFINE_TYPE(T, K, A)         \
    DEFINE_KERNEL(T, K, A, sum)      \
    DEFINE_KERNEL(T, K, A, product)  \
    DEFINE_KERNEL(T, K, A, min)      \
    DEFINE_KERNEL(T, K, A, max)
DEFINE_TYPE(f32, f32, f32v)
DEFINE_TYPE(f64, f64, f64v)
DEFINE_TYPE(i32, i32, i32v)
DEFINE_TYPE(i64, i64, i64v)
DEFINE_TYPE(f16, f32, f32v)
DEFINE_TYPE(bf16, f32, f32v)

#define ROW(T) {T##_sum, T##_product, T##_min, T##_max}
extern const reduce_table REDUCE_TABLE;
const reduce_table REDUCE_TABLE = {
    .vector_bits = VECTOR_BYTES * 8,
    .kernel = {ROW(f32), ROW(f64), ROW(i32), ROW(i64), ROW(f16), ROW(bf16)},
};
