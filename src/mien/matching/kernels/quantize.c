#include <math.h>

#include "search.h"

void quantize_rows(const float *rows, size_t n, size_t d, int8_t *codes, float *scales, float *errors) {
    for (size_t r = 0; r < n; r++) {
        const float *x = rows + r * d;
        int8_t *q = codes + r * d;
        float largest = 0;
        int64_t squares = 0;
        double off = 0;
        for (size_t k = 0; k < d; k++) largest = fabsf(x[k]) > largest ? fabsf(x[k]) : largest;
        float factor = 127.0f / (largest > 1.17549435e-38f ? largest : 1.17549435e-38f);
        for (size_t k = 0; k < d; k++) {
            q[k] = (int8_t)rintf(x[k] * factor);
            squares += (int64_t)q[k] * q[k];
        }
        scales[r] = squares ? (float)(1 / sqrt((double)squares)) : 0;
        for (size_t k = 0; k < d; k++) {
            double e = (double)x[k] - (double)scales[r] * q[k];
            off += e * e;
        }
        errors[r] = (float)(sqrt(off) * (1 + 1e-6)) + 1e-12f;
    }
}
