/* Similarities and their best k. Included once for each instruction set, with NAME, LANES, ROWS and MASK defined.
 *
 * Points lie in panels of 16: panel[feature][point]. A tile is ROWS queries against 2 * LANES points; its similarities
 * stay in registers and are compared there with each query's threshold, so most are never written. Each similarity is
 * one sum over the features in order: the same bits wherever a pair lands, and the same for (a, b) and (b, a). */

typedef float NAME(vec) __attribute__((vector_size(4 * LANES), aligned(4)));

/* queries: [d][ROWS]. panels: the first of the tile's. real: a bit for each of its points that counts; `number` is the
 * first one's number. */
static void NAME(tile)(const float *restrict queries, const float *restrict panels, int64_t d, uint32_t real,
                       int32_t number, best_t *const *best, int64_t rows, int64_t k, int64_t capacity) {
    NAME(vec) sum[ROWS][2];
    const float *left = panels, *right = LANES == PANEL ? panels + PANEL * d : panels + LANES;
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; r++) sum[r][0] = sum[r][1] = (NAME(vec)){0};
    for (int64_t f = 0; f < d; f++) {
        NAME(vec) a = *(const NAME(vec) *)(left + f * PANEL), b = *(const NAME(vec) *)(right + f * PANEL);
#pragma GCC unroll 16
        for (int r = 0; r < ROWS; r++) {
            float q = queries[f * ROWS + r];
            sum[r][0] += a * q;
            sum[r][1] += b * q;
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; r++) {
        if (r >= rows) break;
        uint32_t mask = (MASK(sum[r][0], best[r]->threshold) | MASK(sum[r][1], best[r]->threshold) << LANES) & real;
        if (mask) {
            NAME(vec) pair[2] = {sum[r][0], sum[r][1]}; /* a copy, so that the sums themselves stay in registers */
            float values[2 * LANES];
            memcpy(values, pair, sizeof values);
            for (; mask; mask &= mask - 1) {
                int at = __builtin_ctz(mask);
                if (values[at] >= best[r]->threshold) offer(best[r], values[at], number + at, k, capacity);
            }
        }
    }
}

/* `rows` queries, packed, against what stands at the places first to last (exclusive) of the panels; `shift` places
 * further on are the numbers of these points. */
static void NAME(sweep)(const float *packed, const float *panels, int64_t d, int64_t first, int64_t last, int64_t shift,
                        best_t *const *best, int64_t rows, int64_t k, int64_t capacity) {
    for (int64_t at = first / PANEL * PANEL; at < last; at += 2 * LANES) {
        uint32_t real = last - at >= 32 ? 0xffffffffu : ((uint32_t)1 << (last - at)) - 1;
        if (at < first) real &= 0xffffffffu << (first - at);
        NAME(tile)(packed, panels + at / PANEL * PANEL * d + at % PANEL, d, real, (int32_t)(at + shift), best, rows, k, capacity);
    }
}

/* A query as number r of ROWS. packed: [d][ROWS]. */
static inline void NAME(pack_row)(const float *query, int64_t d, int64_t r, float *packed) {
    for (int64_t f = 0; f < d; f++) packed[f * ROWS + r] = query[f];
}

/* The best k of all points for each of `num` queries, rows of (num, d). self: their own numbers, or NULL. */
static int NAME(search_rows)(const float *queries, int64_t num, int64_t d, const float *panels, int64_t count,
                             const int32_t *self, int64_t k, int32_t *number, float *similarity) {
    const int64_t capacity = capacity_for(k), block = 20 * ROWS;
    const int64_t stretch = panel_stretch(d);
    uint64_t *keys = malloc((size_t)(block * capacity) * sizeof *keys);
    best_t *best = malloc((size_t)block * sizeof *best);
    float *packed = malloc((size_t)(block * d) * sizeof *packed);
    if (!keys || !best || !packed) {
        free(keys), free(best), free(packed);
        return -1;
    }
    for (int64_t start = 0; start < num; start += block) {
        int64_t size = num - start < block ? num - start : block;
        memset(packed, 0, (size_t)(block * d) * sizeof *packed);
        for (int64_t i = 0; i < size; i++) {
            NAME(pack_row)(queries + (start + i) * d, d, i % ROWS, packed + i / ROWS * ROWS * d);
            best_start(best + i, keys + i * capacity, self ? self[start + i] : -1);
        }
        for (int64_t at = 0; at < count; at += stretch)
            for (int64_t group = 0; group < size; group += ROWS) {
                best_t *members[ROWS];
                int64_t rows = size - group < ROWS ? size - group : ROWS;
                for (int64_t r = 0; r < rows; r++) members[r] = best + group + r;
                NAME(sweep)(packed + group * d, panels, d, at, count - at < stretch ? count : at + stretch, 0, members,
                            rows, k, capacity);
            }
        for (int64_t i = 0; i < size; i++)
            best_write(best + i, k, number + (start + i) * k, similarity + (start + i) * k);
    }
    free(keys), free(best), free(packed);
    return 0;
}
