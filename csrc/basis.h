/* Columns made orthonormal, by what their products with each other are. Compiled once, so that all instruction sets see
 * the same bits. */
#ifndef FEWLABELS_BASIS_H
#define FEWLABELS_BASIS_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define DEPENDENT 1e-9 /* of a column's square: what is left of one that the columns before it span */

/* gram: (w, w), changed. inverse: (w, w), of the transpose of its Cholesky factor, so that columns times it are
 * orthonormal; zeros for a column that depends on those before it. */
static void invert_triangle(double *gram, int64_t w, double *inverse) {
    memset(inverse, 0, (size_t)(w * w) * sizeof *inverse);
    for (int64_t j = 0; j < w; j++) {
        double rest = gram[j * w + j];
        for (int64_t i = 0; i < j; i++) rest -= gram[j * w + i] * gram[j * w + i];
        const int taken = rest > DEPENDENT * gram[j * w + j];
        const double pivot = taken ? sqrt(rest) : 0;
        for (int64_t i = j + 1; i < w; i++) {
            double value = gram[i * w + j];
            for (int64_t f = 0; f < j; f++) value -= gram[i * w + f] * gram[j * w + f];
            gram[i * w + j] = taken ? value / pivot : 0;
        }
        gram[j * w + j] = pivot;
    }
    for (int64_t j = 0; j < w; j++) { /* column j: L^-T e_j has entries up to j */
        if (!(gram[j * w + j] > 0)) continue;
        inverse[j * w + j] = 1 / gram[j * w + j];
        for (int64_t i = j - 1; i >= 0; i--) {
            if (!(gram[i * w + i] > 0)) continue;
            double value = 0;
            for (int64_t f = i + 1; f <= j; f++) value -= gram[f * w + i] * inverse[f * w + j];
            inverse[i * w + j] = value / gram[i * w + i];
        }
    }
}

#endif
