/* The reductions of every vector width against plain arithmetic, and against each other bit by bit. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ranks.h"
#include "reduce.h"
#include "values.h"

enum { COUNT = 1037, SOURCES = 9 };

static uint64_t state = 88172645463325252ull;

static uint64_t random_bits(void) {
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

/* Random bits: also subnormals, infinities and NaNs of floats, all of integers. */
static void every_table_gives_the_same_bits(void) {
    static char source[SOURCES][COUNT * 8 + 64], result[3][COUNT * 8];
    const reduce_table *tables[3];
    int32_t count = reduce_tables(tables, 3);
    for (int32_t dtype = 0; dtype < REDUCE_DTYPES; dtype++)
        for (int32_t op = DT_SUM; op <= DT_AVERAGE; op++)
            for (int32_t sources = 1; sources <= SOURCES; sources++) {
                const char *from[SOURCES];
                for (int32_t s = 0; s < sources; s++) {
                    from[s] = source[s] + s; /* misaligned, too */
                    for (size_t i = 0; i + 8 <= sizeof source[s]; i += 8) memcpy(source[s] + i, &(uint64_t){random_bits()}, 8);
                }
                for (int32_t t = 0; t < count; t++) {
                    char *to = result[t];
                    reduce(tables[t], dtype, op, &to, 1, from, sources, COUNT);
                    for (int64_t e = 0; e < COUNT; e++) {
                        double first = get_value(result[0], e, dtype), here = get_value(result[t], e, dtype);
                        bool float_nan = dtype != DT_I32 && dtype != DT_I64 && isnan(first) && isnan(here);
                        int64_t size = dt_dtype_bytes(dtype);
                        CHECK(float_nan || memcmp(result[0] + e * size, result[t] + e * size, (size_t)size) == 0,
                              "%d bits, dtype %d, op %d, %d sources, element %lld: %g and %g", tables[t]->vector_bits, dtype, op, sources,
                              (long long)e, first, here);
                    }
                }
            }
}

static void halves_are_converted_exactly(void) {
    static uint16_t half[65536], zero[65536], out[65536];
    const reduce_table *tables[3];
    int32_t count = reduce_tables(tables, 3);
    for (int i = 0; i < 65536; i++) half[i] = (uint16_t)i, zero[i] = 0x8000; /* x + -0 is x */
    for (int32_t t = 0; t < count; t++)
        for (int32_t dtype = DT_F16; dtype <= DT_BF16; dtype++) {
            const char *from[2] = {(char *)half, (char *)zero};
            char *to = (char *)out;
            reduce(tables[t], dtype, DT_SUM, &to, 1, from, 2, 65536);
            for (int i = 0; i < 65536; i++) {
                bool nan = (i & 0x7FFF) > (dtype == DT_F16 ? 0x7C00 : 0x7F80);
                bool still = (out[i] & 0x7FFF) > (dtype == DT_F16 ? 0x7C00 : 0x7F80);
                CHECK(nan ? still : out[i] == i, "%d bits: %#x + -0 gave %#x", tables[t]->vector_bits, i, out[i]);
            }
        }
}

/* Sums of two halves: f32 addition of halves is exact or rounds far below, so the sum rounds once; against double arithmetic. */
static void half_sums_round_once(void) {
    enum { PAIRS = 100000 };
    static uint16_t left[PAIRS], right[PAIRS], out[PAIRS];
    const reduce_table *tables[3];
    int32_t count = reduce_tables(tables, 3);
    for (int i = 0; i < PAIRS; i++) {
        do left[i] = (uint16_t)random_bits();
        while ((left[i] & 0x7C00) == 0x7C00);
        int exponent = (left[i] >> 10 & 31) - (int)(random_bits() % 12);
        right[i] = (uint16_t)((exponent < 0 ? 0 : exponent) << 10 | (random_bits() & 0x83FF));
    }
    for (int32_t t = 0; t < count; t++) {
        const char *from[2] = {(char *)left, (char *)right};
        char *to = (char *)out;
        reduce(tables[t], DT_F16, DT_SUM, &to, 1, from, 2, PAIRS);
        for (int i = 0; i < PAIRS; i++) {
            double exact = half_to(left[i]) + half_to(right[i]);
            uint16_t wanted = half_from(exact);
            CHECK(out[i] == wanted || (exact == 0 && (out[i] & 0x7FFF) == 0), "%d bits: %g + %g = %#x, wanted %#x", tables[t]->vector_bits,
                  half_to(left[i]), half_to(right[i]), out[i], wanted);
        }
    }
}

/* The tree is the documented one: for 7 ranks ((0 1)(2 3))((4 5) 6), visible in the rounding of f32 sums. */
static float tree(const float *values, int count) {
    if (count == 1) return values[0];
    int left = 1;
    while (left * 2 < count) left *= 2;
    return tree(values, left) + tree(values + left, count - left);
}

static void the_order_is_the_documented_tree(void) {
    const reduce_table *tables[3];
    int32_t count = reduce_tables(tables, 3);
    for (int sources = 1; sources <= 128; sources++) {
        static float source[128][70];
        float out[70];
        const char *from[128];
        for (int s = 0; s < sources; s++) {
            from[s] = (char *)source[s];
            for (int e = 0; e < 70; e++) source[s][e] = ldexpf((float)(random_bits() % 16777216) - 8388608.0f, (int)(random_bits() % 24) - 12);
        }
        for (int32_t t = 0; t < count; t++) {
            char *to = (char *)out;
            reduce(tables[t], DT_F32, DT_SUM, &to, 1, from, sources, 70);
            for (int e = 0; e < 70; e++) {
                float values[128];
                for (int s = 0; s < sources; s++) values[s] = source[s][e];
                CHECK(out[e] == tree(values, sources), "%d bits, %d sources, element %d", tables[t]->vector_bits, sources, e);
            }
        }
    }
}

static void local_reductions_check_their_arguments(void) {
    float left[3] = {1, 2, NAN}, right[3] = {4, NAN, 1}, out[3];
    EXPECT(NULL, dt_reduce_local(out, left, right, 3, DT_F32, DT_MIN), DT_OK);
    CHECK(out[0] == 1 && isnan(out[1]) && isnan(out[2]), "%g %g %g", out[0], out[1], out[2]);
    EXPECT(NULL, dt_reduce_local(left, left, right, 1, DT_F32, DT_AVERAGE), DT_OK);
    CHECK(left[0] == 2.5f, "%g", left[0]);
    EXPECT(NULL, dt_reduce_local(NULL, left, right, 3, DT_F32, DT_SUM), DT_INVALID_ARGUMENT);
    EXPECT(NULL, dt_reduce_local(out, left, right, -1, DT_F32, DT_SUM), DT_INVALID_ARGUMENT);
    EXPECT(NULL, dt_reduce_local(out, left, right, 3, 6, DT_SUM), DT_INVALID_ARGUMENT);
    EXPECT(NULL, dt_reduce_local(out, left, right, 3, DT_F32, 5), DT_INVALID_ARGUMENT);
}

int main(int argc, char **argv) {
    if (begin_test(argc, argv, "every_table_gives_the_same_bits")) every_table_gives_the_same_bits();
    if (begin_test(argc, argv, "halves_are_converted_exactly")) halves_are_converted_exactly();
    if (begin_test(argc, argv, "half_sums_round_once")) half_sums_round_once();
    if (begin_test(argc, argv, "the_order_is_the_documented_tree")) the_order_is_the_documented_tree();
    if (begin_test(argc, argv, "local_reductions_check_their_arguments")) local_reductions_check_their_arguments();
    return 0;
}
