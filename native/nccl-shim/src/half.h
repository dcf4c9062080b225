/* f16 and bf16 as f32 vectors of VECTOR_BYTES: loaded exactly, stored with one rounding to nearest even. */
#ifndef DT_HALF_H
#define DT_HALF_H

#include <string.h>

#include "vectors.h"

static inline f32v bf16_widen(u16h raw) {
    u32v wide = __builtin_convertvector(raw, u32v) << 16;
    return (f32v)wide;
}

static inline u16h bf16_narrow(f32v value) {
    u32v bits = (u32v)value;
    u32v rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
    u32v quiet = (bits >> 16) | 0x40u;
    u32v nan = (u32v)(value != value);
    return __builtin_convertvector((rounded & ~nan) | (quiet & nan), u16h);
}

#if VECTOR_BYTES == 64
static inline f32v f16_widen(u16h raw) { return (f32v)_mm512_cvtph_ps((__m256i)raw); }
static inline u16h f16_narrow(f32v value) { return (u16h)_mm512_cvtps_ph((__m512)value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
#elif VECTOR_BYTES == 32
static inline f32v f16_widen(u16h raw) { return (f32v)_mm256_cvtph_ps((__m128i)raw); }
static inline u16h f16_narrow(f32v value) { return (u16h)_mm256_cvtps_ph((__m256)value, _MM_FROUND_TO_NEAREST_INT); }
#elif defined(__aarch64__)
static inline f32v f16_widen(u16h raw) { return (f32v)vcvt_f32_f16((float16x4_t)raw); }
static inline u16h f16_narrow(f32v value) { return (u16h)vcvt_f16_f32((float32x4_t)value); }
#else
/* Without an instruction for it: integer arithmetic, one lane at a time. */
static inline float f16_widen_lane(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16, exponent = (half >> 10) & 31u, mantissa = half & 0x3FFu, bits;
    if (exponent == 31) {
        bits = sign | 0x7F800000u | (mantissa << 13) | (mantissa ? 0x400000u : 0);
    } else if (exponent != 0) {
        bits = sign | ((exponent + 112) << 23) | (mantissa << 13);
    } else if (mantissa == 0) {
        bits = sign;
    } else { /* subnormal: mantissa * 2^-24 is exact in f32 */
        float value = (float)mantissa * 0x1p-24f;
        memcpy(&bits, &value, sizeof bits);
        bits |= sign;
    }
    float result;
    memcpy(&result, &bits, sizeof result);
    return result;
}

static inline uint16_t f16_narrow_lane(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u) return (uint16_t)(sign | 0x7E00u | ((magnitude >> 13) & 0x3FFu));
    if (magnitude >= 0x477FF000u) return (uint16_t)(sign | 0x7C00u); /* 65520 and above round to infinity */
    if (magnitude < 0x33000001u) return (uint16_t)sign;              /* 2^-25 and below round to zero */
    uint32_t shift = 13, mantissa = magnitude;
    if (magnitude < 0x38800000u) { /* subnormal result */
        shift = 126 - (magnitude >> 23);
        mantissa = (magnitude & 0x7FFFFFu) | 0x800000u;
    } else {
        mantissa = magnitude - 0x38000000u;
    }
    uint32_t result = mantissa >> shift, rest = mantissa & ((1u << shift) - 1), half = 1u << (shift - 1);
    result += rest > half || (rest == half && (result & 1u));
    return (uint16_t)(sign | result);
}

static inline f32v f16_widen(u16h raw) {
    f32v value;
    for (int lane = 0; lane < F32_LANES; lane++) value[lane] = f16_widen_lane(raw[lane]);
    return value;
}

static inline u16h f16_narrow(f32v value) {
    u16h raw;
    for (int lane = 0; lane < F32_LANES; lane++) raw[lane] = f16_narrow_lane(value[lane]);
    return raw;
}
#endif

#endif
