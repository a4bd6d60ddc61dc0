/* What one instruction set must offer. The search itself (search.c) is the same for all of them.
 *
 * Galleries are row-major, as they were added. One probe is compared with rows as they lie in memory; many probes are
 * compared with blocks of rows that were packed so that one register holds one dimension (float32) or four
 * dimensions (int8) of neighboring rows: no sum over a register is ever needed.
 *
 * A scan only says which rows may matter: those whose score reaches a limit. The search scores them again exactly.
 */
#ifndef MIEN_KERNELS_H
#define MIEN_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#define MOST_BLOCK_ROWS 32
#define MOST_TILE 12
#define SCAN_ROWS 256

typedef struct {
    const char *name;
    int block_rows;     /* rows of a packed block */
    int tile_f32;       /* probes of a packed tile */
    int tile_i8;
    int largest_probe;  /* int8 probes stay within +-this, so that no sum of products saturates */
    int bias;           /* what pack_i8 and scan_i8 add to every gallery number: 128 or 0; undone by the caller */

    /* One probe against n <= SCAN_ROWS rows as they lie in memory: the numbers of those that reach the limit, rising;
     * how many they are. f32: sum >= limit. i8: (sum + offset) * scale of the row >= limit. */
    size_t (*scan_f32)(const float *rows, size_t n, size_t d, const float *probe, float limit, uint32_t *hits);
    size_t (*scan_i8)(const int8_t *rows, size_t n, size_t d, const int8_t *probe, int32_t offset, const float *scales,
                      float limit, uint32_t *hits);

    /* n <= block_rows rows into a block; missing rows and dimensions become zeros (after the bias is undone). */
    void (*pack_f32)(const float *rows, size_t n, size_t d, float *block);
    void (*pack_i8)(const int8_t *rows, size_t n, size_t d, uint8_t *block);

    /* Which rows of a block reach each probe's limit: one bit a row. f32: sum >= limit.
     * i8: (sum + offset) * scale of the row >= limit. Returns whether any bit is set. */
    int (*tile_scan_f32)(const float *block, const float *tile, size_t d, const float *limits, uint32_t *masks);
    int (*tile_scan_i8)(const uint8_t *block, const int8_t *tile, size_t groups, const int32_t *offsets,
                        const float *scales, const float *limits, uint32_t *masks);

    /* The reference score: products in float64, eight running sums, added pairwise; see matching/scores.py. */
    double (*exact_f32)(const float *a, const float *b, size_t d);
    double (*exact_i8)(const int8_t *a, const float *b, size_t d);
} Kernel;

const Kernel *generic_kernel(void);
const Kernel *avx2_kernel(void);   /* NULL where the processor or the compiler has not got it */
const Kernel *vnni_kernel(void);
const Kernel *neon_kernel(void);

/* Packing that fits any block size; used by all kernels. */
void pack_f32_rows(const float *rows, size_t n, size_t d, float *block, int block_rows);
void pack_i8_rows(const int8_t *rows, size_t n, size_t d, uint8_t *block, int block_rows, uint8_t flip);

/* The numbers of the scores that reach the limit. */
static inline size_t hits_among(const float *scores, size_t n, float limit, uint32_t *hits) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        if (scores[i] >= limit) hits[count++] = (uint32_t)i;
    return count;
}

/* A scan made of a function that gives the sums of n <= SCAN_ROWS rows. */
static inline size_t scan_f32_by(void (*dots)(const float *, size_t, size_t, const float *, float *), const float *rows,
                                 size_t n, size_t d, const float *probe, float limit, uint32_t *hits) {
    float scores[SCAN_ROWS];
    dots(rows, n, d, probe, scores);
    return hits_among(scores, n, limit, hits);
}

static inline size_t scan_i8_by(void (*dots)(const int8_t *, size_t, size_t, const int8_t *, int32_t *),
                                const int8_t *rows, size_t n, size_t d, const int8_t *probe, int32_t offset,
                                const float *scales, float limit, uint32_t *hits) {
    int32_t sums[SCAN_ROWS];
    float scores[SCAN_ROWS];
    dots(rows, n, d, probe, sums);
    for (size_t i = 0; i < n; i++) scores[i] = (float)(sums[i] + offset) * scales[i];
    return hits_among(scores, n, limit, hits);
}

static inline double sum_of_eight(const double *s) {
    return ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
}

#endif
