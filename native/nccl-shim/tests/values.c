#include "values.h"

#include <math.h>
#include <string.h>

#include "disttrain_shim.h"

static uint64_t hash(uint64_t value) {
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9ull;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EBull;
    return value ^ (value >> 31);
}

/* Sums: small integers, at most 8 x 15 = 120 in all (bf16 is exact up to 256). Averages: multiples of the world size.
 * Products: one rank has an odd number up to 7, all others powers of two from 1/2 to 2 (1 or 2 for integers); the product of all is exact. */
double input_value(int32_t op, int32_t dtype, int32_t rank, int32_t world, int64_t element) {
    uint64_t h = hash((uint64_t)element * 131 + (uint64_t)rank * 7919 + 17);
    bool integer = dtype == DT_I32 || dtype == DT_I64;
    switch (op) {
    case DT_SUM: return (double)(int)(h % 31) - 15;
    case DT_AVERAGE: return ((double)(int)(h % 15) - 7) * world;
    case DT_PRODUCT: {
        bool odd = (int32_t)(hash((uint64_t)element) % (uint64_t)world) == rank;
        if (odd) return (double)(2 * (h % 4) + 1) * (h & 64 ? -1 : 1);
        return integer ? 1 + (double)(h % 2) : ldexp(1, (int)(h % 3) - 1);
    }
    default: return (double)(int)(h % 201) - 100;
    }
}

double reduced_value(int32_t op, int32_t dtype, int32_t world, int64_t element) {
    double result = input_value(op, dtype, 0, world, element);
    for (int32_t rank = 1; rank < world; rank++) {
        double value = input_value(op, dtype, rank, world, element);
        switch (op) {
        case DT_SUM:
        case DT_AVERAGE: result += value; break;
        case DT_PRODUCT: result *= value; break;
        case DT_MIN: result = value < result ? value : result; break;
        default: result = value > result ? value : result; break;
        }
    }
    return op == DT_AVERAGE ? result / world : result;
}

uint16_t half_from(double value) {
    if (value == 0) return signbit(value) ? 0x8000 : 0;
    uint16_t sign = value < 0 ? 0x8000 : 0;
    int exponent;
    frexp(fabs(value), &exponent);
    int unit = exponent - 11 < -24 ? -24 : exponent - 11; /* of the last place */
    double places = nearbyint(ldexp(fabs(value), -unit));
    if (places >= 2048) {
        places /= 2;
        unit++;
    }
    if (unit > 5) return sign | 0x7C00;
    return places < 1024 ? (uint16_t)(sign | (int)places) : (uint16_t)(sign | ((unit + 25) << 10) | ((int)places - 1024));
}

double half_to(uint16_t half) {
    int exponent = half >> 10 & 31, mantissa = half & 1023;
    double value = exponent == 31 ? (mantissa ? NAN : INFINITY) : exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24);
    return half & 0x8000 ? -value : value;
}

void put_value(void *buffer, int64_t element, int32_t dtype, double value) {
    float single = (float)value;
    int32_t i32 = (int32_t)value;
    int64_t i64 = (int64_t)value;
    uint16_t half = dtype == DT_F16 ? half_from(value) : 0;
    const void *from = &single;
    char *to = (char *)buffer + element * dt_dtype_bytes(dtype);
    switch (dtype) {
    case DT_F64: from = &value; break;
    case DT_I32: from = &i32; break;
    case DT_I64: from = &i64; break;
    case DT_F16: from = &half; break;
    case DT_BF16: from = (const char *)&single + 2; break; /* exact values only */
    default: break;
    }
    memcpy(to, from, (size_t)dt_dtype_bytes(dtype));
}

double get_value(const void *buffer, int64_t element, int32_t dtype) {
    const char *from = (const char *)buffer + element * dt_dtype_bytes(dtype);
    float single = 0;
    double value;
    int32_t i32;
    int64_t i64;
    uint16_t half;
    switch (dtype) {
    case DT_F32: memcpy(&single, from, 4); return single;
    case DT_F64: memcpy(&value, from, 8); return value;
    case DT_I32: memcpy(&i32, from, 4); return i32;
    case DT_I64: memcpy(&i64, from, 8); return (double)i64;
    case DT_F16: memcpy(&half, from, 2); return half_to(half);
    default: memcpy((char *)&single + 2, from, 2); return single;
    }
}
