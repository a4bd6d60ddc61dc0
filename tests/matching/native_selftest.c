/* Every kernel of this processor against the plain one: the same entries for a few probes and for many. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "search.h"

enum { ROWS = 423, PROBES = 25, TOP = 9 };

static float noise(void) { return (float)rand() / (float)RAND_MAX - 0.5f; }

static void fill(float *rows, size_t n, size_t d) {
    for (size_t r = 0; r < n; r++) {
        double sum = 0;
        for (size_t k = 0; k < d; k++) rows[r * d + k] = noise(), sum += rows[r * d + k] * rows[r * d + k];
        for (size_t k = 0; k < d; k++) rows[r * d + k] /= (float)sqrt(sum);
    }
}

static int differs(const Kernel *kernel, size_t d, size_t probes, int codec) {
    float *rows = malloc(ROWS * d * 4), *u = malloc(probes * d * 4);
    float *scales = malloc(ROWS * 4), *errors = malloc(ROWS * 4);
    int8_t *codes = malloc(ROWS * d);
    int64_t ids[ROWS], counts[2][PROBES];
    Entry entries[2][PROBES * TOP];
    fill(rows, ROWS, d);
    fill(u, probes, d);
    memcpy(u, rows + 70 * d, d * 4);
    quantize_rows(rows, ROWS, d, codes, scales, errors);
    for (int64_t i = 0; i < ROWS; i++) ids[i] = i;
    float error = 0;
    for (int i = 0; codec == 1 && i < ROWS; i++) error = errors[i] > error ? errors[i] : error;
    Segment segment = {ROWS, codec == 2 ? NULL : rows, codec ? codes : NULL, scales, error, ids, ids};
    const Kernel *both[2] = {generic_kernel(), kernel};
    memset(entries, 0, sizeof entries);
    for (int i = 0; i < 2; i++) {
        Query query = {both[i], &segment, 1, u, probes, d, TOP, -INFINITY, 2};
        if (search(&query, entries[i], counts[i])) return 1;
    }
    int wrong = 0;
    for (size_t p = 0; p < probes; p++) {
        wrong |= counts[0][p] != counts[1][p];
        for (int k = 0; k < TOP; k++) {
            Entry a = entries[0][p * TOP + k], b = entries[1][p * TOP + k];
            wrong |= a.id != b.id || a.score != b.score;
        }
    }
    free(rows), free(u), free(scales), free(errors), free(codes);
    return wrong;
}

int main(void) {
    const Kernel *kernels[] = {generic_kernel(), avx2_kernel(), vnni_kernel(), neon_kernel()};
    const size_t dimensions[] = {1, 7, 33, 128, 130, 512};
    int failures = 0;
    for (int i = 0; i < 4; i++) {
        if (!kernels[i]) continue;
        int wrong = 0;
        for (int j = 0; j < 6; j++)
            for (int codec = 0; codec < 3; codec++)
                for (size_t probes = 1; probes <= PROBES; probes += 12)
                    wrong += differs(kernels[i], dimensions[j], probes, codec);
        printf("%s: %s\n", kernels[i]->name, wrong ? "WRONG" : "right");
        failures += wrong;
    }
    return failures != 0;
}
