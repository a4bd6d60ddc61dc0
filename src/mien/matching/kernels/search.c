/* The scan keeps every row whose score may be among the best, allowing for all rounding; each such row is scored
 * again in reference arithmetic at once. So the answer is exact whatever the kernel, the codec and the threads.
 *
 * How far a scanned score can be off (u: probe, x: gallery vector, both of unit norm to within 1e-3):
 * - float32: (d + 2) * 2^-24 * |u||x|, in any order of summation (Higham, Accuracy and Stability of Numerical
 *   Algorithms, section 3.1);
 * - int8: u = t*r + f and x = s*q + e, with r and q the codes. <u,x> - s*t*<r,q> = <f, s*q> + <u, e>, at most
 *   |f||s*q| + |u||e| by Cauchy and Schwarz.
 */
#include "best.h"
#include "search.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define NORM 1.001f           /* unit vectors are that long at most */
#define CHUNK_BYTES (384 * 1024)  /* of packed rows: they stay in the second-level cache */
#define STREAM_BYTES (256 * 1024)
#define FEW_PROBES 3
#define FIRST_ROWS 32
#define WORTH_A_THREAD 4e6    /* multiplications */

typedef struct {
    const Query *q;
    int int8;                 /* whether codes are scanned */
    /* Probes as the kernel wants them. */
    float *tiles_f32;
    int8_t *tiles_i8, *codes;
    int32_t *offsets;
    float *steps, *losses;    /* t and |f| of each probe */
    size_t tile, tiles, groups;
    float slack;
    /* Work that is left. */
    size_t chunk_rows;
    atomic_size_t next_chunk;
    size_t chunks, *first_chunk; /* of each segment, and the end */
    _Atomic uint32_t *floors; /* the best floor that any thread has found */
} Shared;

typedef struct {
    Shared *shared;
    Best *best;
    void *packed;
    float *scales;
} Worker;

/* Floors are ordered as the integers of their bits are, once negative numbers are turned around. */
static uint32_t ordered(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

static float unordered(uint32_t bits) {
    float x;
    bits = bits & 0x80000000u ? bits & 0x7fffffffu : ~bits;
    memcpy(&x, &bits, 4);
    return x;
}

static void raise_floor(_Atomic uint32_t *shared, float floor) {
    uint32_t mine = ordered(floor), there = atomic_load_explicit(shared, memory_order_relaxed);
    while (mine > there && !atomic_compare_exchange_weak_explicit(shared, &there, mine, memory_order_relaxed,
                                                                  memory_order_relaxed)) {
    }
}

/* Score a row exactly, and keep it if it is one of the best. */
static void consider(const Shared *s, Best *best, const Segment *segment, size_t row, size_t probe) {
    const Query *q = s->q;
    if (segment->identities[row] < 0) return;
    const float *u = q->probes + probe * q->d;
    double sum = segment->vectors ? q->kernel->exact_f32(segment->vectors + row * q->d, u, q->d)
                                  : (double)segment->scales[row] *
                                        q->kernel->exact_i8(segment->codes + row * q->d, u, q->d);
    float score = (float)sum;
    if (score > 1) score = 1;
    if (score < -1) score = -1;
    if ((double)score < q->threshold || score < best->floor) return;
    Entry entry = {score, segment->ids[row], segment->identities[row]};
    keep(best, entry, q->top);
}

/* The least scanned score, in the scan's own units, of a row that may matter. */
static float limit_of(const Shared *s, size_t probe, float floor, float largest_error) {
    if (!s->int8) return floor - s->slack;
    float loss = s->losses[probe], off = loss * (NORM + largest_error) + NORM * largest_error;
    return (floor - off - s->slack) / s->steps[probe];
}

static float current_floor(const Shared *s, Best *best, size_t probe) {
    float there = unordered(atomic_load_explicit(&s->floors[probe], memory_order_relaxed));
    if (there > best->floor) best->floor = there;
    return best->floor;
}

/* A few probes: rows as they lie in memory. */
static void scan_rows(Worker *w, const Segment *segment, size_t start, size_t n) {
    Shared *s = w->shared;
    const Query *q = s->q;
    uint32_t hits[SCAN_ROWS];
    for (size_t p = 0; p < q->m; p++) {
        Best *best = &w->best[p];
        /* The first few rows alone give a floor that spares considering most of the others. */
        for (size_t at = start, rows = FIRST_ROWS; at < start + n; at += rows, rows = SCAN_ROWS) {
            if (rows > start + n - at) rows = start + n - at;
            float limit = limit_of(s, p, current_floor(s, best, p), segment->error);
            size_t count = s->int8 ? q->kernel->scan_i8(segment->codes + at * q->d, rows, q->d, s->codes + p * q->d,
                                                        s->offsets[p], segment->scales + at, limit, hits)
                                   : q->kernel->scan_f32(segment->vectors + at * q->d, rows, q->d,
                                                         q->probes + p * q->d, limit, hits);
            for (size_t i = 0; i < count; i++) consider(s, best, segment, at + hits[i], p);
        }
        raise_floor(&s->floors[p], best->floor);
    }
}

/* Many probes: the rows are packed once, then meet one tile of probes after the other. */
static void scan_blocks(Worker *w, const Segment *segment, size_t start, size_t n) {
    Shared *s = w->shared;
    const Query *q = s->q;
    const Kernel *kernel = q->kernel;
    size_t height = kernel->block_rows, blocks = (n + height - 1) / height;
    size_t step = s->int8 ? s->groups * 4 * height : q->d * height;
    for (size_t b = 0; b < blocks; b++) {
        size_t at = start + b * height, rows = n - b * height < height ? n - b * height : height;
        if (s->int8) kernel->pack_i8(segment->codes + at * q->d, rows, q->d, (uint8_t *)w->packed + b * step);
        else kernel->pack_f32(segment->vectors + at * q->d, rows, q->d, (float *)w->packed + b * step);
    }
    if (s->int8) {
        memset(w->scales, 0, blocks * height * sizeof(float));
        memcpy(w->scales, segment->scales + start, n * sizeof(float));
    }
    uint32_t masks[MOST_TILE];
    for (size_t t = 0; t < s->tiles; t++) {
        const int8_t *tile_i8 = s->tiles_i8 + t * s->groups * 4 * s->tile;
        const float *tile_f32 = s->tiles_f32 + t * q->d * s->tile;
        size_t first = t * s->tile, count = q->m - first < s->tile ? q->m - first : s->tile;
        float limits[MOST_TILE];
        for (size_t p = 0; p < s->tile; p++)
            limits[p] = p < count ? limit_of(s, first + p, current_floor(s, &w->best[first + p], first + p), segment->error)
                                  : INFINITY;
        for (size_t b = 0; b < blocks; b++) {
            int any = s->int8 ? kernel->tile_scan_i8((uint8_t *)w->packed + b * step, tile_i8, s->groups,
                                                     s->offsets + first, w->scales + b * height, limits, masks)
                              : kernel->tile_scan_f32((float *)w->packed + b * step, tile_f32, q->d, limits, masks);
            if (!any) continue;
            for (size_t p = 0; p < count; p++) {
                Best *best = &w->best[first + p];
                float floor = best->floor;
                for (uint32_t mask = masks[p]; mask; mask &= mask - 1) {
                    size_t row = b * height + (size_t)__builtin_ctz(mask);
                    if (row < n) consider(s, best, segment, start + row, first + p);
                }
                if (best->floor > floor) limits[p] = limit_of(s, first + p, best->floor, segment->error);
            }
        }
        for (size_t p = 0; p < count; p++) raise_floor(&s->floors[first + p], w->best[first + p].floor);
    }
}

static void *work(void *argument) {
    Worker *w = argument;
    Shared *s = w->shared;
    size_t segment = 0;
    for (;;) {
        size_t chunk = atomic_fetch_add_explicit(&s->next_chunk, 1, memory_order_relaxed);
        if (chunk >= s->chunks) return NULL;
        while (chunk >= s->first_chunk[segment + 1]) segment++;
        const Segment *there = &s->q->segments[segment];
        size_t start = (chunk - s->first_chunk[segment]) * s->chunk_rows;
        size_t rows = there->rows - start < s->chunk_rows ? there->rows - start : s->chunk_rows;
        if (s->q->m <= FEW_PROBES) scan_rows(w, there, start, rows);
        else scan_blocks(w, there, start, rows);
    }
}

/* int8 codes of the probes, their steps t and losses |f|, and what undoes the kernel's bias. */
static void quantize_probes(Shared *s) {
    const Query *q = s->q;
    for (size_t p = 0; p < s->tiles * s->tile; p++) {
        s->offsets[p] = 0;
        s->steps[p] = 1;
        s->losses[p] = 0;
        if (p >= q->m) continue;
        const float *u = q->probes + p * q->d;
        int8_t *codes = s->codes + p * q->d;
        float largest = 0;
        double loss = 0;
        int32_t sum = 0;
        for (size_t k = 0; k < q->d; k++) largest = fabsf(u[k]) > largest ? fabsf(u[k]) : largest;
        float step = largest > 0 ? largest / (float)q->kernel->largest_probe : 1;
        for (size_t k = 0; k < q->d; k++) {
            float code = rintf(u[k] / step);
            double off = (double)u[k] - (double)step * code;
            codes[k] = (int8_t)code;
            loss += off * off;
            sum += codes[k];
        }
        s->steps[p] = step;
        s->losses[p] = (float)(sqrt(loss) * (1 + 1e-6)) + 1e-12f;
        s->offsets[p] = -q->kernel->bias * sum;
    }
}

static void lay_tiles(Shared *s) {
    const Query *q = s->q;
    for (size_t p = 0; p < q->m; p++) {
        size_t tile = p / s->tile, place = p % s->tile;
        for (size_t k = 0; k < q->d; k++) {
            if (s->int8)
                s->tiles_i8[tile * s->groups * 4 * s->tile + ((k / 4) * s->tile + place) * 4 + k % 4] =
                    s->codes[p * q->d + k];
            else s->tiles_f32[tile * q->d * s->tile + k * s->tile + place] = q->probes[p * q->d + k];
        }
    }
}

static void *aligned(size_t bytes) {
    void *at = NULL;
    bytes = (bytes + 127) / 64 * 64;
    if (posix_memalign(&at, 64, bytes)) return NULL;
    memset(at, 0, bytes);
    return at;
}

static int start_worker(Worker *w, Shared *s) {
    const Query *q = s->q;
    size_t capacity = best_capacity(q->top);
    memset(w, 0, sizeof *w);
    w->shared = s;
    w->best = calloc(q->m, sizeof(Best));
    if (!w->best) return -1;
    if (q->m > FEW_PROBES) {
        w->packed = aligned((s->chunk_rows + MOST_BLOCK_ROWS) * (q->d + 3) * (s->int8 ? 1 : sizeof(float)));
        w->scales = aligned((s->chunk_rows + MOST_BLOCK_ROWS) * sizeof(float));
        if (!w->packed || !w->scales) return -1;
    }
    Entry *entries = malloc(q->m * capacity * sizeof(Entry));
    if (!entries) return -1;
    for (size_t p = 0; p < q->m; p++) {
        w->best[p].kept = entries + p * capacity;
        w->best[p].floor = unordered(s->floors[p]);
    }
    return 0;
}

static void end_worker(Worker *w) {
    if (w->best) free(w->best[0].kept);
    free(w->best);
    free(w->packed);
    free(w->scales);
}

static int prepare(Shared *s, const Query *q) {
    double rows = 0;
    memset(s, 0, sizeof *s);
    s->q = q;
    for (size_t i = 0; i < q->segment_count; i++) rows += (double)q->segments[i].rows;
    s->int8 = q->segment_count && q->segments[0].codes != NULL;
    s->tile = s->int8 ? q->kernel->tile_i8 : q->kernel->tile_f32;
    s->tiles = (q->m + s->tile - 1) / s->tile;
    s->groups = (q->d + 3) / 4;
    s->slack = s->int8 ? 2e-6f : NORM * NORM * (float)(q->d + 2) / 16777216.0f + 1e-7f;
    size_t row_bytes = q->d * (s->int8 ? 1 : sizeof(float));
    size_t bytes = q->m <= FEW_PROBES ? STREAM_BYTES : CHUNK_BYTES;
    s->chunk_rows = bytes / row_bytes / MOST_BLOCK_ROWS * MOST_BLOCK_ROWS;
    if (s->chunk_rows < 2 * MOST_BLOCK_ROWS) s->chunk_rows = 2 * MOST_BLOCK_ROWS;
    s->first_chunk = calloc(q->segment_count + 1, sizeof(size_t));
    s->floors = malloc(q->m * sizeof(*s->floors));
    if (!s->first_chunk || !s->floors) return -1;
    for (size_t i = 0; i < q->segment_count; i++)
        s->first_chunk[i + 1] = s->first_chunk[i] + (q->segments[i].rows + s->chunk_rows - 1) / s->chunk_rows;
    s->chunks = s->first_chunk[q->segment_count];
    /* As a float the threshold must not be above what it is in float64. */
    float floor = nextafterf((float)q->threshold, -INFINITY);
    for (size_t p = 0; p < q->m; p++) atomic_init(&s->floors[p], ordered(floor));
    if (s->int8) {
        s->codes = aligned(q->m * q->d);
        s->offsets = aligned(s->tiles * s->tile * sizeof(int32_t));
        s->steps = aligned(s->tiles * s->tile * sizeof(float));
        s->losses = aligned(s->tiles * s->tile * sizeof(float));
        s->tiles_i8 = aligned(s->tiles * s->tile * s->groups * 4);
        if (!s->codes || !s->offsets || !s->steps || !s->losses || !s->tiles_i8) return -1;
        quantize_probes(s);
        lay_tiles(s);
    } else if (q->m > FEW_PROBES) {
        s->tiles_f32 = aligned(s->tiles * s->tile * q->d * sizeof(float));
        if (!s->tiles_f32) return -1;
        lay_tiles(s);
    }
    return 0;
}

static int run(Shared *s, Worker *workers, int threads) {
    pthread_t started[64];
    int running = 0, failed = 0;
    for (int i = 0; i < threads; i++) failed |= start_worker(&workers[i], s);
    if (failed) return -1;
    /* A thread that cannot be started is no loss but of time: the others take its chunks. */
    for (int i = 1; i < threads; i++)
        if (pthread_create(&started[running], NULL, work, &workers[i]) == 0) running++;
    work(&workers[0]);
    for (int i = 0; i < running; i++) pthread_join(started[i], NULL);
    return 0;
}

int search(const Query *q, Entry *entries, int64_t *counts) {
    Shared shared;
    Worker workers[64];
    int threads = q->threads < 1 ? 1 : q->threads > 64 ? 64 : q->threads, status;
    memset(workers, 0, sizeof workers);
    if (q->m == 0) return 0;
    status = prepare(&shared, q);
    if (status == 0) {
        double products = 0;
        for (size_t i = 0; i < q->segment_count; i++) products += (double)q->segments[i].rows * q->d * q->m;
        if (products < threads * WORTH_A_THREAD) threads = 1 + (int)(products / WORTH_A_THREAD);
        if ((size_t)threads > shared.chunks) threads = shared.chunks ? (int)shared.chunks : 1;
        status = run(&shared, workers, threads);
    }
    for (size_t p = 0; status == 0 && p < q->m; p++) {
        Best *best = &workers[0].best[p];
        if (q->top > SMALL_TOP) settle(best, q->top);
        for (int i = 1; i < threads; i++) {
            Best *other = &workers[i].best[p];
            if (q->top > SMALL_TOP) settle(other, q->top);
            for (size_t k = 0; k < other->count; k++) keep(best, other->kept[k], q->top);
            if (q->top > SMALL_TOP) settle(best, q->top);
        }
        counts[p] = (int64_t)best->count;
        memcpy(entries + p * q->top, best->kept, best->count * sizeof(Entry));
    }
    for (int i = 0; i < 64; i++) end_worker(&workers[i]);
    free(shared.first_chunk);
    free((void *)shared.floors);
    free(shared.codes);
    free(shared.offsets);
    free(shared.steps);
    free(shared.losses);
    free(shared.tiles_i8);
    free(shared.tiles_f32);
    return status;
}
