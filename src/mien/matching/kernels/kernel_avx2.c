/* x86-64 with AVX2 and FMA. There is no int8 dot product: vpmaddubsw multiplies unsigned by signed bytes and adds
 * pairs into 16 bits, where 255 * 127 * 2 would saturate; so int8 probes keep to +-63 (255 * 63 * 2 = 32130). */
#include "kernels.h"

#if (defined(__x86_64__) && defined(__GNUC__))
#include <immintrin.h>
#include <string.h>

#define AVX2 __attribute__((target("avx2,fma")))
#define INLINE_AVX2 static inline __attribute__((always_inline, target("avx2,fma")))

enum { ROWS = 16, TILE_F32 = 6, TILE_I8 = 4, AHEAD = 1024 };

/* The sums of four registers, in order. */
INLINE_AVX2 __m128 sums_of_four(__m256 a, __m256 b, __m256 c, __m256 d) {
    __m256 pairs = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    return _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1));
}

INLINE_AVX2 __m128i sums_of_four_i32(__m256i a, __m256i b, __m256i c, __m256i d) {
    __m256i pairs = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    return _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
}

/* Rows one after the other: the processor's own prefetching follows that best. It keeps up with float32; int8 rows go by
 * faster, and asking for them ahead gains a tenth. */
INLINE_AVX2 __m256 row_f32(const float *row, const float *probe, size_t d) {
    __m256 s[4];
    size_t k = 0;
    for (int i = 0; i < 4; i++) s[i] = _mm256_setzero_ps();
    for (; k + 32 <= d; k += 32)
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            s[i] = _mm256_fmadd_ps(_mm256_loadu_ps(row + k + 8 * i), _mm256_loadu_ps(probe + k + 8 * i), s[i]);
    for (; k + 8 <= d; k += 8) s[0] = _mm256_fmadd_ps(_mm256_loadu_ps(row + k), _mm256_loadu_ps(probe + k), s[0]);
    return _mm256_add_ps(_mm256_add_ps(s[0], s[1]), _mm256_add_ps(s[2], s[3]));
}

AVX2 static size_t scan_f32(const float *rows, size_t n, size_t d, const float *probe, float limit, uint32_t *hits) {
    size_t whole = d & ~(size_t)7, r = 0, count = 0;
    __m128 least = _mm_set1_ps(limit);
    for (; r + 4 <= n; r += 4) {
        __m256 s[4];
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) s[i] = row_f32(rows + (r + i) * d, probe, whole);
        __m128 sums = sums_of_four(s[0], s[1], s[2], s[3]);
        for (size_t k = whole; k < d; k++)
            sums = _mm_add_ps(sums, _mm_mul_ps(_mm_set1_ps(probe[k]),
                                               _mm_setr_ps(rows[r * d + k], rows[(r + 1) * d + k],
                                                           rows[(r + 2) * d + k], rows[(r + 3) * d + k])));
        for (int mask = _mm_movemask_ps(_mm_cmpge_ps(sums, least)); mask; mask &= mask - 1)
            hits[count++] = (uint32_t)(r + (size_t)__builtin_ctz((unsigned)mask));
    }
    for (; r < n; r++) {
        float sum = 0;
        for (size_t k = 0; k < d; k++) sum += rows[r * d + k] * probe[k];
        if (sum >= limit) hits[count++] = (uint32_t)r;
    }
    return count;
}

INLINE_AVX2 __m256i add_products(__m256i sum, __m256i gallery, __m256i probe) {
    __m256i pairs = _mm256_maddubs_epi16(gallery, probe);
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

INLINE_AVX2 __m256i row_i8(const int8_t *row, const int8_t *probe, size_t d) {
    const __m256i flip = _mm256_set1_epi8((char)0x80);
    __m256i a = _mm256_setzero_si256(), b = a;
    size_t k = 0;
    for (; k + 64 <= d; k += 64) {
        _mm_prefetch((const char *)(row + k) + AHEAD, _MM_HINT_T0);
        __m256i x = _mm256_loadu_si256((const __m256i *)(row + k));
        __m256i y = _mm256_loadu_si256((const __m256i *)(row + k + 32));
        a = add_products(a, _mm256_xor_si256(flip, x), _mm256_loadu_si256((const __m256i *)(probe + k)));
        b = add_products(b, _mm256_xor_si256(flip, y), _mm256_loadu_si256((const __m256i *)(probe + k + 32)));
    }
    if (k < d) {
        __m256i x = _mm256_loadu_si256((const __m256i *)(row + k));
        a = add_products(a, _mm256_xor_si256(flip, x), _mm256_loadu_si256((const __m256i *)(probe + k)));
    }
    return _mm256_add_epi32(a, b);
}

AVX2 static size_t scan_i8(const int8_t *rows, size_t n, size_t d, const int8_t *probe, int32_t offset,
                           const float *scales, float limit, uint32_t *hits) {
    size_t whole = d & ~(size_t)31, r = 0, count = 0;
    __m128 least = _mm_set1_ps(limit);
    for (; r + 4 <= n; r += 4) {
        __m256i s[4];
        int32_t rest[4] = {offset, offset, offset, offset};
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) s[i] = row_i8(rows + (r + i) * d, probe, whole);
        for (size_t k = whole; k < d; k++)
            for (int i = 0; i < 4; i++) rest[i] += (rows[(r + i) * d + k] + 128) * probe[k];
        __m128i sums = _mm_add_epi32(sums_of_four_i32(s[0], s[1], s[2], s[3]), _mm_loadu_si128((const __m128i *)rest));
        __m128 scores = _mm_mul_ps(_mm_cvtepi32_ps(sums), _mm_loadu_ps(scales + r));
        for (int mask = _mm_movemask_ps(_mm_cmpge_ps(scores, least)); mask; mask &= mask - 1)
            hits[count++] = (uint32_t)(r + (size_t)__builtin_ctz((unsigned)mask));
    }
    for (; r < n; r++) {
        int32_t sum = offset;
        for (size_t k = 0; k < d; k++) sum += (rows[r * d + k] + 128) * probe[k];
        if ((float)sum * scales[r] >= limit) hits[count++] = (uint32_t)r;
    }
    return count;
}

/* Eight rows of eight numbers, turned. */
INLINE_AVX2 void turn_eight(const float *rows, size_t d, float *block) {
    __m256 r[8], t[8];
    for (int i = 0; i < 8; i++) r[i] = _mm256_loadu_ps(rows + i * d);
    for (int i = 0; i < 4; i++) {
        t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
    }
    for (int half = 0; half < 2; half++) {
        __m256 *u = t + 4 * half, a = u[0], b = u[1], c = u[2], e = u[3];
        u[0] = _mm256_shuffle_ps(a, c, 0x44);
        u[1] = _mm256_shuffle_ps(a, c, 0xEE);
        u[2] = _mm256_shuffle_ps(b, e, 0x44);
        u[3] = _mm256_shuffle_ps(b, e, 0xEE);
    }
    for (int i = 0; i < 4; i++) {
        _mm256_storeu_ps(block + i * ROWS, _mm256_permute2f128_ps(t[i], t[4 + i], 0x20));
        _mm256_storeu_ps(block + (4 + i) * ROWS, _mm256_permute2f128_ps(t[i], t[4 + i], 0x31));
    }
}

AVX2 static void pack_f32(const float *rows, size_t n, size_t d, float *block) {
    if (n < ROWS) {
        pack_f32_rows(rows, n, d, block, ROWS);
        return;
    }
    size_t k = 0;
    for (; k + 8 <= d; k += 8) {
        turn_eight(rows + k, d, block + k * ROWS);
        turn_eight(rows + 8 * d + k, d, block + k * ROWS + 8);
    }
    for (; k < d; k++)
        for (size_t r = 0; r < ROWS; r++) block[k * ROWS + r] = rows[r * d + k];
}

AVX2 static void pack_i8(const int8_t *rows, size_t n, size_t d, uint8_t *block) {
    if (n < ROWS || d % 32) {
        pack_i8_rows(rows, n, d, block, ROWS, 0x80);
        return;
    }
    /* Four bytes move together, so this is the packing of d/4 floats a row. */
    const float *fours = (const float *)rows;
    float *target = (float *)block;
    for (size_t k = 0; k < d / 4; k += 8) {
        turn_eight(fours + k, d / 4, target + k * ROWS);
        turn_eight(fours + 8 * (d / 4) + k, d / 4, target + k * ROWS + 8);
    }
    const __m256i flip = _mm256_set1_epi8((char)0x80);
    for (size_t k = 0; k < d * ROWS; k += 32) {
        __m256i *at = (__m256i *)(block + k);
        _mm256_storeu_si256(at, _mm256_xor_si256(flip, _mm256_loadu_si256(at)));
    }
}

AVX2 static int tile_scan_f32(const float *block, const float *tile, size_t d, const float *limits, uint32_t *masks) {
    __m256 lo[TILE_F32], hi[TILE_F32];
    for (int p = 0; p < TILE_F32; p++) lo[p] = hi[p] = _mm256_setzero_ps();
#pragma GCC unroll 4
    for (size_t k = 0; k < d; k++) {
        __m256 a = _mm256_loadu_ps(block + k * ROWS), b = _mm256_loadu_ps(block + k * ROWS + 8);
#pragma GCC unroll 6
        for (int p = 0; p < TILE_F32; p++) {
            __m256 x = _mm256_broadcast_ss(tile + k * TILE_F32 + p);
            lo[p] = _mm256_fmadd_ps(a, x, lo[p]);
            hi[p] = _mm256_fmadd_ps(b, x, hi[p]);
        }
    }
    /* Nearly always no row reaches any limit: that is found out first, all probes together. */
    __m256 reached = _mm256_setzero_ps();
#pragma GCC unroll 6
    for (int p = 0; p < TILE_F32; p++) {
        __m256 limit = _mm256_broadcast_ss(limits + p);
        lo[p] = _mm256_cmp_ps(lo[p], limit, _CMP_GE_OQ);
        hi[p] = _mm256_cmp_ps(hi[p], limit, _CMP_GE_OQ);
        reached = _mm256_or_ps(reached, _mm256_or_ps(lo[p], hi[p]));
    }
    if (_mm256_testz_ps(reached, reached)) return 0;
#pragma GCC unroll 6
    for (int p = 0; p < TILE_F32; p++)
        masks[p] = (uint32_t)_mm256_movemask_ps(lo[p]) | (uint32_t)_mm256_movemask_ps(hi[p]) << 8;
    return 1;
}

AVX2 static int tile_scan_i8(const uint8_t *block, const int8_t *tile, size_t groups, const int32_t *offsets,
                             const float *scales, const float *limits, uint32_t *masks) {
    __m256i lo[TILE_I8], hi[TILE_I8];
    for (int p = 0; p < TILE_I8; p++) lo[p] = hi[p] = _mm256_set1_epi32(offsets[p]);
    for (size_t g = 0; g < groups; g++) {
        __m256i a = _mm256_loadu_si256((const __m256i *)(block + g * ROWS * 4));
        __m256i b = _mm256_loadu_si256((const __m256i *)(block + g * ROWS * 4 + 32));
#pragma GCC unroll 4
        for (int p = 0; p < TILE_I8; p++) {
            int32_t four;
            memcpy(&four, tile + (g * TILE_I8 + p) * 4, 4);
            __m256i x = _mm256_set1_epi32(four);
            lo[p] = add_products(lo[p], a, x);
            hi[p] = add_products(hi[p], b, x);
        }
    }
    __m256 scale_lo = _mm256_loadu_ps(scales), scale_hi = _mm256_loadu_ps(scales + 8);
    __m256 passed[2 * TILE_I8], reached = _mm256_setzero_ps();
#pragma GCC unroll 4
    for (int p = 0; p < TILE_I8; p++) {
        __m256 limit = _mm256_broadcast_ss(limits + p);
        passed[2 * p] = _mm256_cmp_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(lo[p]), scale_lo), limit, _CMP_GE_OQ);
        passed[2 * p + 1] = _mm256_cmp_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(hi[p]), scale_hi), limit, _CMP_GE_OQ);
        reached = _mm256_or_ps(reached, _mm256_or_ps(passed[2 * p], passed[2 * p + 1]));
    }
    if (_mm256_testz_ps(reached, reached)) return 0;
#pragma GCC unroll 4
    for (int p = 0; p < TILE_I8; p++)
        masks[p] = (uint32_t)_mm256_movemask_ps(passed[2 * p]) | (uint32_t)_mm256_movemask_ps(passed[2 * p + 1]) << 8;
    return 1;
}

INLINE_AVX2 __m256d low_half(__m256 x) { return _mm256_cvtps_pd(_mm256_castps256_ps128(x)); }

INLINE_AVX2 __m256d high_half(__m256 x) { return _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1)); }

AVX2 static double exact_f32(const float *a, const float *b, size_t d) {
    __m256d lo = _mm256_setzero_pd(), hi = lo;
    double s[8];
    size_t k = 0;
    for (; k + 8 <= d; k += 8) {
        __m256 x = _mm256_loadu_ps(a + k), y = _mm256_loadu_ps(b + k);
        lo = _mm256_fmadd_pd(low_half(x), low_half(y), lo);
        hi = _mm256_fmadd_pd(high_half(x), high_half(y), hi);
    }
    _mm256_storeu_pd(s, lo);
    _mm256_storeu_pd(s + 4, hi);
    for (int j = 0; k < d; k++, j++) s[j] += (double)a[k] * b[k];
    return sum_of_eight(s);
}

AVX2 static double exact_i8(const int8_t *a, const float *b, size_t d) {
    __m256d lo = _mm256_setzero_pd(), hi = lo;
    double s[8];
    size_t k = 0;
    for (; k + 8 <= d; k += 8) {
        __m256i x = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(a + k)));
        __m256 y = _mm256_loadu_ps(b + k);
        lo = _mm256_fmadd_pd(_mm256_cvtepi32_pd(_mm256_castsi256_si128(x)), low_half(y), lo);
        hi = _mm256_fmadd_pd(_mm256_cvtepi32_pd(_mm256_extracti128_si256(x, 1)), high_half(y), hi);
    }
    _mm256_storeu_pd(s, lo);
    _mm256_storeu_pd(s + 4, hi);
    for (int j = 0; k < d; k++, j++) s[j] += (double)a[k] * b[k];
    return sum_of_eight(s);
}

static const Kernel kernel = {
    "avx2",   ROWS,    TILE_F32,      TILE_I8,      63,        128,      scan_f32, scan_i8, pack_f32,
    pack_i8,  tile_scan_f32, tile_scan_i8, exact_f32, exact_i8,
};

const Kernel *avx2_kernel(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &kernel : NULL;
}
#else
const Kernel *avx2_kernel(void) { return NULL; }
#endif
