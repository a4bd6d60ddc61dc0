/* Exact top-k identities of many probes over many segments of a gallery. */
#ifndef MIEN_SEARCH_H
#define MIEN_SEARCH_H

#include "kernels.h"

typedef struct {
    size_t rows;
    const float *vectors;     /* (rows, d), or NULL where int8 codes are all there is */
    const int8_t *codes;      /* (rows, d), or NULL where float32 is scanned */
    const float *scales;      /* (rows,), with codes: unit vector = scale * codes */
    float error;              /* with codes and vectors: the largest norm of vector - scale * codes, or more */
    const int64_t *ids;       /* (rows,) template ids */
    const int64_t *identities; /* (rows,), negative: removed */
} Segment;

typedef struct {
    float score;
    int64_t id, identity;
} Entry;

typedef struct {
    const Kernel *kernel;
    const Segment *segments;
    size_t segment_count;
    const float *probes;      /* (m, d) of unit norm */
    size_t m, d, top;
    double threshold;         /* least score wanted; -INFINITY for none */
    int threads;
} Query;

/* Writes up to `top` entries a probe, best first (equal scores: lower id first), and how many they are.
 * Returns 0, or -1 where memory runs out. */
int search(const Query *query, Entry *entries, int64_t *counts);

/* Quantize n rows as matching/codecs.py does; also each row's scale and an upper bound of the norm of its error. */
void quantize_rows(const float *rows, size_t n, size_t d, int8_t *codes, float *scales, float *errors);

#endif
