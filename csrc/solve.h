/* The passes of block conjugate gradients over rows of 8 * VECTORS classes. Included for VECTORS = 1, 2, 3, 4 within
 * each instruction set, with PASS defined.
 *
 * Rows are grouped; every sum over rows is made group by group, in float32 over a few rows and in float64 beyond, and the
 * caller adds the groups in order. So the bits do not depend on how groups are shared out between threads. */

#define WIDTH (8 * VECTORS)
#define FLUSH 16 /* rows that are summed in float32 before they go to float64 */

/* A narrow row: WIDTH numbers in bfloat16, the first 16 bits of a float32, two to a word. Word l of the pair v, v + 1
 * has lane l of v in its lower half and lane l of v + 1 in its upper one; where a v8 is left over, word l of four has
 * its lanes l and l + 4. So widening takes a shift and a mask. */
#define WORDS (WIDTH / 2)
#define UPPER 0xffff0000u

static inline void PASS(widen)(const uint32_t *words, v8 *out) {
#pragma GCC unroll 2
    for (int v = 0; v + 1 < VECTORS; v += 2) {
        u8 pair = *(const u8 *)(words + 4 * v);
        out[v] = (v8)(pair << 16);
        out[v + 1] = (v8)(pair & UPPER);
    }
    if (VECTORS % 2) {
        u8 twice = TWICE(words + WORDS - 4);
        out[VECTORS - 1] = (v8)((twice << (u8){16, 16, 16, 16, 0, 0, 0, 0}) & UPPER);
    }
}

/* Rounds to the nearest, ties to even. */
static inline void PASS(narrow)(const v8 *values, uint32_t *words) {
    u8 bits[VECTORS];
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; v++) {
        bits[v] = (u8)values[v];
        bits[v] += 0x7fff + ((bits[v] >> 16) & 1);
    }
#pragma GCC unroll 2
    for (int v = 0; v + 1 < VECTORS; v += 2) *(u8 *)(words + 4 * v) = bits[v] >> 16 | (bits[v + 1] & UPPER);
    if (VECTORS % 2)
        for (int l = 0; l < 4; l++)
            words[WORDS - 4 + l] = bits[VECTORS - 1][l] >> 16 | (bits[VECTORS - 1][l + 4] & UPPER);
}

static inline __attribute__((always_inline)) void PASS(fetch)(rows_t rows, int64_t i, v8 *out) {
    if (rows.wide) {
        const v8 *row = (const v8 *)(rows.wide + i * WIDTH);
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; v++) out[v] = row[v];
    } else PASS(widen)(rows.narrow + i * WORDS, out);
}

static inline void PASS(store)(rows_t rows, int64_t i, const v8 *values) {
    if (rows.wide) {
        v8 *row = (v8 *)(rows.wide + i * WIDTH);
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; v++) row[v] = values[v];
    } else PASS(narrow)(values, rows.narrow + i * WORDS);
}

static inline __attribute__((always_inline)) void PASS(multiply)(const csr_t *w, float alpha, rows_t rows,
                                                                 float *image, const int64_t *groups, int64_t first,
                                                                 int64_t last, double *dots) {
    for (int64_t g = first; g < last; g++) {
        double *total = dots + g * WIDTH;
        memset(total, 0, WIDTH * sizeof *total);
        for (int64_t start = groups[g]; start < groups[g + 1]; start += FLUSH) {
            int64_t stop = start + FLUSH < groups[g + 1] ? start + FLUSH : groups[g + 1];
            v8 part[VECTORS] = {{0}};
            for (int64_t i = start; i < stop; i++) {
                v8 sum[VECTORS] = {{0}}, row[VECTORS];
                for (int32_t e = w->pointers[i]; e < w->pointers[i + 1]; e++) {
                    float weight = w->weights[e];
                    PASS(fetch)(rows, w->columns[e], row);
#pragma GCC unroll 4
                    for (int v = 0; v < VECTORS; v++) sum[v] += row[v] * weight;
                }
                PASS(fetch)(rows, i, row);
                v8 *out = (v8 *)(image + i * WIDTH);
#pragma GCC unroll 4
                for (int v = 0; v < VECTORS; v++) {
                    v8 value = row[v] - sum[v] * alpha;
                    out[v] = value;
                    part[v] += row[v] * value;
                }
            }
            const float *flat = (const float *)part;
            for (int j = 0; j < WIDTH; j++) total[j] += flat[j];
        }
    }
}

/* image = rows - alpha * W rows; dots[g] = sum over the group's rows of row * image. */
static void PASS(product)(const csr_t *w, float alpha, rows_t rows, float *image, const int64_t *groups, int64_t first,
                          int64_t last, double *dots) {
    if (rows.wide) PASS(multiply)(w, alpha, (rows_t){rows.wide, NULL}, image, groups, first, last, dots);
    else PASS(multiply)(w, alpha, (rows_t){NULL, rows.narrow}, image, groups, first, last, dots);
}

/* x += step * direction; residual -= step * image; dots[g] = residual^2 of the group's rows;
 * coarse[g] = sum of the group's rows of shape * residual, unless shape is NULL. */
static void PASS(advance)(float *x, float *residual, rows_t direction, const float *image, const float *step,
                          const float *shape, const int64_t *groups, int64_t first, int64_t last, double *dots,
                          double *coarse) {
    const v8 *length = (const v8 *)step;
    for (int64_t g = first; g < last; g++) {
        double *total = dots + g * WIDTH, *mean = coarse + (shape ? g * WIDTH : 0);
        memset(total, 0, WIDTH * sizeof *total);
        if (shape) memset(mean, 0, WIDTH * sizeof *mean);
        for (int64_t start = groups[g]; start < groups[g + 1]; start += FLUSH) {
            int64_t stop = start + FLUSH < groups[g + 1] ? start + FLUSH : groups[g + 1];
            v8 part[VECTORS] = {{0}}, sum[VECTORS] = {{0}};
            for (int64_t i = start; i < stop; i++) {
                v8 p[VECTORS];
                PASS(fetch)(direction, i, p);
                const v8 *q = (const v8 *)(image + i * WIDTH);
                v8 *to = (v8 *)(x + i * WIDTH), *r = (v8 *)(residual + i * WIDTH);
                float weight = shape ? shape[i] : 0.0f;
#pragma GCC unroll 4
                for (int v = 0; v < VECTORS; v++) {
                    to[v] += p[v] * length[v];
                    v8 left = r[v] - q[v] * length[v];
                    r[v] = left;
                    part[v] += left * left;
                    sum[v] += left * weight;
                }
            }
            const float *flat = (const float *)part, *flat_sum = (const float *)sum;
            for (int j = 0; j < WIDTH; j++) total[j] += flat[j];
            if (shape)
                for (int j = 0; j < WIDTH; j++) mean[j] += flat_sum[j];
        }
    }
}

/* direction = residual + shape * lift[g] + ratio * direction; without shape, the middle term is left out. */
static void PASS(turn)(rows_t direction, const float *residual, const float *ratio, const float *shape,
                       const float *lift, const int64_t *groups, int64_t first, int64_t last) {
    const v8 *keep = (const v8 *)ratio;
    for (int64_t g = first; g < last; g++) {
        const v8 *coarse = (const v8 *)(lift + (shape ? g * WIDTH : 0));
        for (int64_t i = groups[g]; i < groups[g + 1]; i++) {
            const v8 *r = (const v8 *)(residual + i * WIDTH);
            v8 p[VECTORS];
            PASS(fetch)(direction, i, p);
            float weight = shape ? shape[i] : 0.0f;
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++) {
                v8 value = r[v] + p[v] * keep[v];
                p[v] = shape ? value + coarse[v] * weight : value;
            }
            PASS(store)(direction, i, p);
        }
    }
}

/* lift[g] = sum over h of inverse[g, h] * coarse[h], for the groups first to last of num. */
static void PASS(lift)(const float *inverse, const float *coarse, int64_t num, int64_t first, int64_t last,
                       float *lift) {
    for (int64_t g = first; g < last; g++) {
        v8 sum[VECTORS] = {{0}};
        for (int64_t h = 0; h < num; h++) {
            const v8 *row = (const v8 *)(coarse + h * WIDTH);
            float factor = inverse[g * num + h];
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++) sum[v] += row[v] * factor;
        }
        v8 *out = (v8 *)(lift + g * WIDTH);
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; v++) out[v] = sum[v];
    }
}

#undef WIDTH
#undef FLUSH
#undef WORDS
#undef UPPER
