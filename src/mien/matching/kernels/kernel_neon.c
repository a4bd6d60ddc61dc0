/* 64-bit ARM: NEON, with the int8 dot products of ARMv8.2 where the processor has them. */
#include "kernels.h"

#if defined(__aarch64__) && defined(__GNUC__) && defined(__linux__)
#include <arm_neon.h>
#include <string.h>
#include <sys/auxv.h>

#ifndef HWCAP_ASIMDDP
#define HWCAP_ASIMDDP (1 << 20)
#endif
#define DOT __attribute__((target("arch=armv8.2-a+dotprod")))

enum { ROWS = 16, TILE = 4 };

static void dots_f32(const float *rows, size_t n, size_t d, const float *probe, float *out) {
    size_t whole = d & ~(size_t)7;
    for (size_t r = 0; r < n; r++) {
        const float *row = rows + r * d;
        float32x4_t a = vdupq_n_f32(0), b = a;
        for (size_t k = 0; k < whole; k += 8) {
            a = vfmaq_f32(a, vld1q_f32(row + k), vld1q_f32(probe + k));
            b = vfmaq_f32(b, vld1q_f32(row + k + 4), vld1q_f32(probe + k + 4));
        }
        out[r] = vaddvq_f32(vaddq_f32(a, b));
        for (size_t k = whole; k < d; k++) out[r] += row[k] * probe[k];
    }
}

DOT static void dots_i8(const int8_t *rows, size_t n, size_t d, const int8_t *probe, int32_t *out) {
    size_t whole = d & ~(size_t)31;
    for (size_t r = 0; r < n; r++) {
        const int8_t *row = rows + r * d;
        int32x4_t a = vdupq_n_s32(0), b = a;
        for (size_t k = 0; k < whole; k += 32) {
            a = vdotq_s32(a, vld1q_s8(row + k), vld1q_s8(probe + k));
            b = vdotq_s32(b, vld1q_s8(row + k + 16), vld1q_s8(probe + k + 16));
        }
        out[r] = vaddvq_s32(vaddq_s32(a, b));
        for (size_t k = whole; k < d; k++) out[r] += row[k] * probe[k];
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
    pack_i8_rows(rows, n, d, block, ROWS, 0);
}

/* Bit r of the mask: lane r of four registers. */
static inline uint32_t mask_of(uint32x4_t a, uint32x4_t b, uint32x4_t c, uint32x4_t e) {
    const uint32x4_t bits = {1, 2, 4, 8};
    return vaddvq_u32(vandq_u32(a, bits)) | vaddvq_u32(vandq_u32(b, bits)) << 4 |
           vaddvq_u32(vandq_u32(c, bits)) << 8 | vaddvq_u32(vandq_u32(e, bits)) << 12;
}

static int tile_scan_f32(const float *block, const float *tile, size_t d, const float *limits, uint32_t *masks) {
    float32x4_t s[TILE][4];
    for (int p = 0; p < TILE; p++)
        for (int i = 0; i < 4; i++) s[p][i] = vdupq_n_f32(0);
    for (size_t k = 0; k < d; k++) {
        float32x4_t x = vld1q_f32(tile + k * TILE);
        for (int i = 0; i < 4; i++) {
            float32x4_t a = vld1q_f32(block + k * ROWS + 4 * i);
            s[0][i] = vfmaq_laneq_f32(s[0][i], a, x, 0);
            s[1][i] = vfmaq_laneq_f32(s[1][i], a, x, 1);
            s[2][i] = vfmaq_laneq_f32(s[2][i], a, x, 2);
            s[3][i] = vfmaq_laneq_f32(s[3][i], a, x, 3);
        }
    }
    uint32_t any = 0;
    for (int p = 0; p < TILE; p++) {
        float32x4_t limit = vdupq_n_f32(limits[p]);
        masks[p] = mask_of(vcgeq_f32(s[p][0], limit), vcgeq_f32(s[p][1], limit), vcgeq_f32(s[p][2], limit),
                           vcgeq_f32(s[p][3], limit));
        any |= masks[p];
    }
    return any != 0;
}

DOT static int tile_scan_i8(const uint8_t *block, const int8_t *tile, size_t groups, const int32_t *offsets,
                            const float *scales, const float *limits, uint32_t *masks) {
    int32x4_t s[TILE][4];
    for (int p = 0; p < TILE; p++)
        for (int i = 0; i < 4; i++) s[p][i] = vdupq_n_s32(offsets[p]);
    for (size_t g = 0; g < groups; g++) {
        int8x16_t x = vld1q_s8(tile + g * TILE * 4);
        for (int i = 0; i < 4; i++) {
            int8x16_t a = vld1q_s8((const int8_t *)block + g * ROWS * 4 + 16 * i);
            s[0][i] = vdotq_laneq_s32(s[0][i], a, x, 0);
            s[1][i] = vdotq_laneq_s32(s[1][i], a, x, 1);
            s[2][i] = vdotq_laneq_s32(s[2][i], a, x, 2);
            s[3][i] = vdotq_laneq_s32(s[3][i], a, x, 3);
        }
    }
    uint32_t any = 0;
    for (int p = 0; p < TILE; p++) {
        float32x4_t limit = vdupq_n_f32(limits[p]);
        uint32x4_t reached[4];
        for (int i = 0; i < 4; i++)
            reached[i] = vcgeq_f32(vmulq_f32(vcvtq_f32_s32(s[p][i]), vld1q_f32(scales + 4 * i)), limit);
        masks[p] = mask_of(reached[0], reached[1], reached[2], reached[3]);
        any |= masks[p];
    }
    return any != 0;
}

static double exact_f32(const float *a, const float *b, size_t d) {
    double s[8] = {0};
    float64x2_t sums[4] = {vdupq_n_f64(0), vdupq_n_f64(0), vdupq_n_f64(0), vdupq_n_f64(0)};
    size_t k = 0;
    for (; k + 8 <= d; k += 8)
        for (int i = 0; i < 4; i++)
            sums[i] = vfmaq_f64(sums[i], vcvt_f64_f32(vld1_f32(a + k + 2 * i)), vcvt_f64_f32(vld1_f32(b + k + 2 * i)));
    for (int i = 0; i < 4; i++) vst1q_f64(s + 2 * i, sums[i]);
    for (int j = 0; k < d; k++, j++) s[j] += (double)a[k] * b[k];
    return sum_of_eight(s);
}

static double exact_i8(const int8_t *a, const float *b, size_t d) { return generic_kernel()->exact_i8(a, b, d); }

static const Kernel kernel = {
    "neon",  ROWS,    TILE,          TILE,         127,       0,        scan_f32, scan_i8, pack_f32,
    pack_i8, tile_scan_f32, tile_scan_i8, exact_f32, exact_i8,
};

const Kernel *neon_kernel(void) { return getauxval(AT_HWCAP) & HWCAP_ASIMDDP ? &kernel : NULL; }
#else
const Kernel *neon_kernel(void) { return NULL; }
#endif
