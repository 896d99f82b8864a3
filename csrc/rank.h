/* Exact similarities of candidates. Included once for each instruction set, with NAME, WIDE and BATCH defined.
 *
 * A product of two float32 is exact in float64, so an addition rounds the same whether it is fused with it or not. The
 * sum has 16 parts, feature f in part f % 16, whatever the width of vectors, and the parts are added as a tree: the
 * same bits on every processor, and the same for (a, b) and (b, a). Rounded to float32 once, at the end. */

typedef double NAME(wide) __attribute__((vector_size(8 * WIDE)));
typedef float NAME(half) __attribute__((vector_size(4 * WIDE), aligned(4)));

/* The similarities of a query, widened and filled up with zeros to a multiple of 16, and `count` (a constant) rows. */
static inline __attribute__((always_inline)) void NAME(multiply)(const double *query, const float *const *rows,
                                                                 int64_t d, int count, float *similarity) {
    NAME(wide) sum[BATCH][PARTS / WIDE];
#pragma GCC unroll 8
    for (int r = 0; r < count; r++)
#pragma GCC unroll 8
        for (int j = 0; j < PARTS / WIDE; j++) sum[r][j] = (NAME(wide)){0};
    int64_t f = 0;
    for (; f + PARTS <= d; f += PARTS)
#pragma GCC unroll 8
        for (int j = 0; j < PARTS / WIDE; j++) {
            NAME(wide) q;
            memcpy(&q, query + f + j * WIDE, sizeof q);
#pragma GCC unroll 8
            for (int r = 0; r < count; r++)
                sum[r][j] += q * __builtin_convertvector(*(const NAME(half) *)(rows[r] + f + j * WIDE), NAME(wide));
        }
    for (int r = 0; r < count; r++) {
        double part[PARTS];
        memcpy(part, sum[r], sizeof part);
        for (int64_t rest = f; rest < d; rest++) part[rest - f] += query[rest] * (double)rows[r][rest];
        for (int gap = PARTS / 2; gap; gap /= 2)
            for (int i = 0; i < gap; i++) part[i] += part[i + gap];
        similarity[r] = (float)part[0];
    }
}

/* Give each of the keys the exact similarity of its number's row. members: the row of each number; NULL: the same. */
static void NAME(rank_keys)(const double *query, const float *rows, const int64_t *members, int64_t d, uint64_t *keys,
                            int64_t count) {
    for (int64_t at = 0; at < count; at += BATCH) {
        const float *row[BATCH];
        float similarity[BATCH];
        const int64_t size = count - at < BATCH ? count - at : BATCH;
        for (int64_t r = 0; r < size; r++) {
            const int32_t number = key_number(keys[at + r]);
            row[r] = rows + (members ? members[number] : number) * d;
        }
        if (size == BATCH) NAME(multiply)(query, row, d, BATCH, similarity);
        else
            for (int64_t r = 0; r < size; r++) NAME(multiply)(query, row + r, d, 1, similarity + r);
        for (int64_t r = 0; r < size; r++) keys[at + r] = key_of(similarity[r], key_number(keys[at + r]));
    }
}

/* The best k of each query's candidates by exact similarity. queries: (num, d). candidates: (num, most), -1 for none. */
static int NAME(rank_rows)(const float *queries, int64_t num, int64_t d, const float *rows, const int64_t *members,
                           const int32_t *candidates, int64_t most, int64_t k, int32_t *number, float *similarity) {
    double *query = malloc((size_t)d * sizeof *query);
    uint64_t *keys = malloc((size_t)(most + 1) * sizeof *keys);
    if (!query || !keys) {
        free(query), free(keys);
        return -1;
    }
    for (int64_t i = 0; i < num; i++) {
        best_t best;
        best_start(&best, keys, -1);
        for (int64_t f = 0; f < d; f++) query[f] = queries[i * d + f];
        for (int64_t j = 0; j < most; j++)
            if (candidates[i * most + j] >= 0) keys[best.count++] = key_of(0, candidates[i * most + j]);
        NAME(rank_keys)(query, rows, members, d, keys, best.count);
        best_write(&best, k, number + i * k, similarity + i * k);
    }
    free(query), free(keys);
    return 0;
}
