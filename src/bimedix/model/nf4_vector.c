/* y = W x for W in NF4, read as it lies: half a byte and a share of a scale per weight.

   A row holds its inputs in blocks of 64 that share a scale; the first weight of a pair is the high half of a
   byte. Sixteen levels are one register, and a look-up in it is one instruction. Inputs come apart into those
   of even and of odd place, so that both halves of the bytes meet theirs in order. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__AVX512F__)
#include <immintrin.h>
#define LANES 16
typedef __m512 floats;
typedef __m512 table;
static inline floats zero(void) { return _mm512_setzero_ps(); }
static inline floats load(const float *p) { return _mm512_loadu_ps(p); }
static inline table levels_of(const float *p) { return _mm512_loadu_ps(p); }
static inline floats fma_(floats a, floats b, floats c) { return _mm512_fmadd_ps(a, b, c); }
static inline floats same(float v) { return _mm512_set1_ps(v); }
static inline float sum(floats v) { return _mm512_reduce_add_ps(v); }
static inline void look_up(const uint8_t *p, table t, floats *high, floats *low) {
    __m512i byte = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p));
    *high = _mm512_permutexvar_ps(_mm512_srli_epi32(byte, 4), t);
    *low = _mm512_permutexvar_ps(byte, t); /* reads the low four bits of its index */
}
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define LANES 8
typedef __m256 floats;
typedef struct { __m256 first, second; } table;
static inline floats zero(void) { return _mm256_setzero_ps(); }
static inline floats load(const float *p) { return _mm256_loadu_ps(p); }
static inline table levels_of(const float *p) { table t = {load(p), load(p + 8)}; return t; }
static inline floats fma_(floats a, floats b, floats c) { return _mm256_fmadd_ps(a, b, c); }
static inline floats same(float v) { return _mm256_set1_ps(v); }
static inline float sum(floats v) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
static inline floats one(__m256i code, table t) { /* bit 3 of the code becomes the sign that chooses */
    __m256 upper = _mm256_castsi256_ps(_mm256_slli_epi32(code, 28));
    return _mm256_blendv_ps(_mm256_permutevar8x32_ps(t.first, code), _mm256_permutevar8x32_ps(t.second, code), upper);
}
static inline void look_up(const uint8_t *p, table t, floats *high, floats *low) {
    __m256i byte = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p));
    *high = one(_mm256_srli_epi32(byte, 4), t);
    *low = one(byte, t);
}
#endif

/* Tell whether this processor has a register that holds the levels. */
int nf4_vector_width(void) {
#ifdef LANES
    return LANES;
#else
    return 0;
#endif
}

/* Returns 0, or 1 when there was no memory. `half` says that scales are bfloat16, else float32. */
int nf4_vector(const uint8_t *packed, const void *scales, int half, const float *levels, const float *x,
               float *y, int64_t rows, int64_t inputs) {
#ifdef LANES
    int64_t pairs = inputs / 2, blocks = inputs / 64;
    float *even = malloc(sizeof(float) * (size_t)inputs), *odd = even + pairs;
    if (!even) return 1;
    for (int64_t i = 0; i < pairs; i++) { even[i] = x[2 * i]; odd[i] = x[2 * i + 1]; }
    table t = levels_of(levels);
    for (int64_t r = 0; r < rows; r++) {
        const uint8_t *row = packed + r * pairs;
        floats total = zero();
        for (int64_t b = 0; b < blocks; b++) {
            floats first = zero(), second = zero();
            for (int i = 0; i < 32; i += LANES) {
                floats high, low;
                look_up(row + 32 * b + i, t, &high, &low);
                first = fma_(high, load(even + 32 * b + i), first);
                second = fma_(low, load(odd + 32 * b + i), second);
            }
            float scale;
            if (half) {
                uint32_t bits = (uint32_t)((const uint16_t *)scales)[r * blocks + b] << 16;
                memcpy(&scale, &bits, 4);
            } else {
                scale = ((const float *)scales)[r * blocks + b];
            }
            total = fma_(first, same(scale), total);
            total = fma_(second, same(scale), total);
        }
        y[r] = sum(total);
    }
    free(even);
    return 0;
#else
    return 1;
#endif
}
