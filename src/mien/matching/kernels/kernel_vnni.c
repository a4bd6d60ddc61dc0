/* x86-64 with AVX-512 and its int8 dot products (VNNI): 32 rows a block, two registers a probe. */
#include "kernels.h"

#if (defined(__x86_64__) && defined(__GNUC__))
#include <immintrin.h>
#include <string.h>

#define VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))
#define INLINE_VNNI static inline __attribute__((always_inline, target("avx512f,avx512bw,avx512vl,avx512vnni")))

enum { ROWS = 32, TILE = 12 };

VNNI static void dots_f32(const float *rows, size_t n, size_t d, const float *probe, float *out) {
    size_t whole = d & ~(size_t)15, r = 0;
    __mmask16 rest = (__mmask16)((1u << (d - whole)) - 1);
    for (; r + 4 <= n; r += 4) {
        __m512 s[4];
        for (int i = 0; i < 4; i++) s[i] = _mm512_setzero_ps();
        for (size_t k = 0; k < whole; k += 16) {
            __m512 p = _mm512_loadu_ps(probe + k);
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) {
                s[i] = _mm512_fmadd_ps(p, _mm512_loadu_ps(rows + (r + i) * d + k), s[i]);
            }
        }
        for (int i = 0; i < 4; i++) {
            __m512 a = _mm512_maskz_loadu_ps(rest, rows + (r + i) * d + whole);
            out[r + i] = _mm512_reduce_add_ps(_mm512_fmadd_ps(_mm512_maskz_loadu_ps(rest, probe + whole), a, s[i]));
        }
    }
    for (; r < n; r++) {
        float sum = 0;
        for (size_t k = 0; k < d; k++) sum += rows[r * d + k] * probe[k];
        out[r] = sum;
    }
}

VNNI static void dots_i8(const int8_t *rows, size_t n, size_t d, const int8_t *probe, int32_t *out) {
    const __m512i flip = _mm512_set1_epi8((char)0x80);
    size_t whole = d & ~(size_t)63, r = 0;
    __mmask64 rest = d == whole ? 0 : ~(__mmask64)0 >> (64 - (d - whole));
    for (; r + 4 <= n; r += 4) {
        __m512i s[4];
        for (int i = 0; i < 4; i++) s[i] = _mm512_setzero_si512();
        for (size_t k = 0; k < whole; k += 64) {
            __m512i p = _mm512_loadu_si512(probe + k);
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) {
                const int8_t *at = rows + (r + i) * d + k;
                s[i] = _mm512_dpbusd_epi32(s[i], _mm512_xor_si512(flip, _mm512_loadu_si512(at)), p);
            }
        }
        for (int i = 0; i < 4; i++) {
            /* Past the end the probe is zero, whatever the flipped gallery number. */
            __m512i a = _mm512_xor_si512(flip, _mm512_maskz_loadu_epi8(rest, rows + (r + i) * d + whole));
            s[i] = _mm512_dpbusd_epi32(s[i], a, _mm512_maskz_loadu_epi8(rest, probe + whole));
            out[r + i] = _mm512_reduce_add_epi32(s[i]);
        }
    }
    for (; r < n; r++) {
        int32_t sum = 0;
        for (size_t k = 0; k < d; k++) sum += (rows[r * d + k] + 128) * probe[k];
        out[r] = sum;
    }
}

static size_t scan_f32(const float *rows, size_t n, size_t d, const float *probe, float limit, uint32_t *hits) {
    return scan_f32_by(dots_f32, rows, n, d, probe, limit, hits);
}

static size_t scan_i8(const int8_t *rows, size_t n, size_t d, const int8_t *probe, int32_t offset, const float *scales,
                      float limit, uint32_t *hits) {
    return scan_i8_by(dots_i8, rows, n, d, probe, offset, scales, limit, hits);
}

static void pack_f32(const float *rows, size_t n, size_t d, float *block) { pack_f32_rows(rows, n, d, block, ROWS); }

static void pack_i8(const int8_t *rows, size_t n, size_t d, uint8_t *block) {
    pack_i8_rows(rows, n, d, block, ROWS, 0x80);
}

VNNI static int tile_scan_f32(const float *block, const float *tile, size_t d, const float *limits, uint32_t *masks) {
    __m512 lo[TILE], hi[TILE];
#pragma GCC unroll 12
    for (int p = 0; p < TILE; p++) lo[p] = hi[p] = _mm512_setzero_ps();
    for (size_t k = 0; k < d; k++) {
        __m512 a = _mm512_loadu_ps(block + k * ROWS), b = _mm512_loadu_ps(block + k * ROWS + 16);
#pragma GCC unroll 12
        for (int p = 0; p < TILE; p++) {
            __m512 x = _mm512_set1_ps(tile[k * TILE + p]);
            lo[p] = _mm512_fmadd_ps(a, x, lo[p]);
            hi[p] = _mm512_fmadd_ps(b, x, hi[p]);
        }
    }
    uint32_t any = 0;
#pragma GCC unroll 12
    for (int p = 0; p < TILE; p++) {
        __m512 limit = _mm512_set1_ps(limits[p]);
        masks[p] = (uint32_t)_mm512_cmp_ps_mask(lo[p], limit, _CMP_GE_OQ) |
                   (uint32_t)_mm512_cmp_ps_mask(hi[p], limit, _CMP_GE_OQ) << 16;
        any |= masks[p];
    }
    return any != 0;
}

VNNI static int tile_scan_i8(const uint8_t *block, const int8_t *tile, size_t groups, const int32_t *offsets,
                             const float *scales, const float *limits, uint32_t *masks) {
    __m512i lo[TILE], hi[TILE];
#pragma GCC unroll 12
    for (int p = 0; p < TILE; p++) lo[p] = hi[p] = _mm512_set1_epi32(offsets[p]);
    for (size_t g = 0; g < groups; g++) {
        __m512i a = _mm512_loadu_si512(block + g * ROWS * 4), b = _mm512_loadu_si512(block + g * ROWS * 4 + 64);
#pragma GCC unroll 12
        for (int p = 0; p < TILE; p++) {
            int32_t four;
            memcpy(&four, tile + (g * TILE + p) * 4, 4);
            __m512i x = _mm512_set1_epi32(four);
            lo[p] = _mm512_dpbusd_epi32(lo[p], a, x);
            hi[p] = _mm512_dpbusd_epi32(hi[p], b, x);
        }
    }
    __m512 scale_lo = _mm512_loadu_ps(scales), scale_hi = _mm512_loadu_ps(scales + 16);
    uint32_t any = 0;
#pragma GCC unroll 12
    for (int p = 0; p < TILE; p++) {
        __m512 limit = _mm512_set1_ps(limits[p]);
        __m512 a = _mm512_mul_ps(_mm512_cvtepi32_ps(lo[p]), scale_lo);
        __m512 b = _mm512_mul_ps(_mm512_cvtepi32_ps(hi[p]), scale_hi);
        masks[p] = (uint32_t)_mm512_cmp_ps_mask(a, limit, _CMP_GE_OQ) |
                   (uint32_t)_mm512_cmp_ps_mask(b, limit, _CMP_GE_OQ) << 16;
        any |= masks[p];
    }
    return any != 0;
}

VNNI static double exact_f32(const float *a, const float *b, size_t d) {
    __m512d sum = _mm512_setzero_pd();
    double s[8];
    size_t k = 0;
    for (; k + 8 <= d; k += 8)
        sum = _mm512_fmadd_pd(_mm512_cvtps_pd(_mm256_loadu_ps(a + k)), _mm512_cvtps_pd(_mm256_loadu_ps(b + k)), sum);
    _mm512_storeu_pd(s, sum);
    for (int j = 0; k < d; k++, j++) s[j] += (double)a[k] * b[k];
    return sum_of_eight(s);
}

VNNI static double exact_i8(const int8_t *a, const float *b, size_t d) {
    __m512d sum = _mm512_setzero_pd();
    double s[8];
    size_t k = 0;
    for (; k + 8 <= d; k += 8) {
        __m256i x = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(a + k)));
        sum = _mm512_fmadd_pd(_mm512_cvtepi32_pd(x), _mm512_cvtps_pd(_mm256_loadu_ps(b + k)), sum);
    }
    _mm512_storeu_pd(s, sum);
    for (int j = 0; k < d; k++, j++) s[j] += (double)a[k] * b[k];
    return sum_of_eight(s);
}

static const Kernel kernel = {
    "avx512-vnni", ROWS,    TILE,          TILE,         127,       128,      scan_f32, scan_i8, pack_f32,
    pack_i8,       tile_scan_f32, tile_scan_i8, exact_f32, exact_i8,
};

const Kernel *vnni_kernel(void) {
    __builtin_cpu_init();
    int there = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
    return there ? &kernel : NULL;
}
#else
const Kernel *vnni_kernel(void) { return NULL; }
#endif
