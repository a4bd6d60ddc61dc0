/* Plain C, for any processor; also what the other kernels are checked against. */
#include "kernels.h"

#include <string.h>

enum { ROWS = 16, TILE = 4 };

void pack_f32_rows(const float *rows, size_t n, size_t d, float *block, int block_rows) {
    if (n < (size_t)block_rows) memset(block, 0, d * block_rows * sizeof(float));
    /* Eight dimensions at a time: whole cache lines are read and written. */
    for (size_t start = 0; start < d; start += 8) {
        size_t stop = start + 8 < d ? start + 8 : d;
        for (size_t r = 0; r < n; r++)
            for (size_t k = start; k < stop; k++) block[k * block_rows + r] = rows[r * d + k];
    }
}

void pack_i8_rows(const int8_t *rows, size_t n, size_t d, uint8_t *block, int block_rows, uint8_t flip) {
    size_t groups = (d + 3) / 4, whole = d / 4;
    uint32_t flips = flip * 0x01010101u;
    if (n < (size_t)block_rows || whole != groups) memset(block, flip, groups * block_rows * 4);
    for (size_t r = 0; r < n; r++) {
        const int8_t *row = rows + r * d;
        for (size_t g = 0; g < whole; g++) {
            uint32_t four;
            memcpy(&four, row + 4 * g, 4);
            four ^= flips;
            memcpy(block + (g * block_rows + r) * 4, &four, 4);
        }
        for (size_t k = 4 * whole; k < d; k++) block[(whole * block_rows + r) * 4 + k % 4] = (uint8_t)row[k] ^ flip;
    }
}

static void dots_f32(const float *rows, size_t n, size_t d, const float *probe, float *out) {
    for (size_t r = 0; r < n; r++) {
        const float *row = rows + r * d;
        float s[8] = {0};
        size_t k = 0;
        for (; k + 8 <= d; k += 8)
            for (int j = 0; j < 8; j++) s[j] += row[k + j] * probe[k + j];
        for (; k < d; k++) s[0] += row[k] * probe[k];
        out[r] = ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
    }
}

static void dots_i8(const int8_t *rows, size_t n, size_t d, const int8_t *probe, int32_t *out) {
    for (size_t r = 0; r < n; r++) {
        int32_t sum = 0;
        for (size_t k = 0; k < d; k++) sum += (int32_t)rows[r * d + k] * probe[k];
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
    pack_i8_rows(rows, n, d, block, ROWS, 0);
}

static int tile_scan_f32(const float *block, const float *tile, size_t d, const float *limits, uint32_t *masks) {
    float sums[TILE][ROWS] = {{0}};
    int any = 0;
    for (size_t k = 0; k < d; k++)
        for (int p = 0; p < TILE; p++)
            for (int r = 0; r < ROWS; r++) sums[p][r] += block[k * ROWS + r] * tile[k * TILE + p];
    for (int p = 0; p < TILE; p++) {
        masks[p] = 0;
        for (int r = 0; r < ROWS; r++) masks[p] |= (uint32_t)(sums[p][r] >= limits[p]) << r;
        any |= masks[p] != 0;
    }
    return any;
}

static int tile_scan_i8(const uint8_t *block, const int8_t *tile, size_t groups, const int32_t *offsets,
                        const float *scales, const float *limits, uint32_t *masks) {
    int32_t sums[TILE][ROWS];
    int any = 0;
    for (int p = 0; p < TILE; p++)
        for (int r = 0; r < ROWS; r++) sums[p][r] = offsets[p];
    for (size_t g = 0; g < groups; g++)
        for (int p = 0; p < TILE; p++)
            for (int r = 0; r < ROWS; r++)
                for (int k = 0; k < 4; k++)
                    sums[p][r] += (int32_t)(int8_t)block[(g * ROWS + r) * 4 + k] * tile[(g * TILE + p) * 4 + k];
    for (int p = 0; p < TILE; p++) {
        masks[p] = 0;
        for (int r = 0; r < ROWS; r++) masks[p] |= (uint32_t)((float)sums[p][r] * scales[r] >= limits[p]) << r;
        any |= masks[p] != 0;
    }
    return any;
}

static double exact_f32(const float *a, const float *b, size_t d) {
    double s[8] = {0};
    size_t k = 0;
    for (; k + 8 <= d; k += 8)
        for (int j = 0; j < 8; j++) s[j] += (double)a[k + j] * b[k + j];
    for (int j = 0; k < d; k++, j++) s[j] += (double)a[k] * b[k];
    return sum_of_eight(s);
}

static double exact_i8(const int8_t *a, const float *b, size_t d) {
    double s[8] = {0};
    size_t k = 0;
    for (; k + 8 <= d; k += 8)
        for (int j = 0; j < 8; j++) s[j] += (double)a[k + j] * b[k + j];
    for (int j = 0; k < d; k++, j++) s[j] += (double)a[k] * b[k];
    return sum_of_eight(s);
}

static const Kernel kernel = {
    "generic", ROWS,    TILE,          TILE,         127,       0,        scan_f32, scan_i8, pack_f32,
    pack_i8,   tile_scan_f32, tile_scan_i8, exact_f32, exact_i8,
};

const Kernel *generic_kernel(void) { return &kernel; }
