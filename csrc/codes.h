/* The first stage of a search in two: inner products of codes, exact sums of whole numbers. Included once for each
 * instruction set, with NAME, ROWS and the macros of a tile of codes (codes_isa.h) defined.
 *
 * A point is unsigned (1 to 128, half as fine), a query signed (-127 to 127): so no pair of products leaves 16 bits,
 * which AVX2 adds them in. That points are shifted adds the same number to all products with one query. Points lie in
 * panels of 16: panel[4 features][point][feature]; queries are packed as [4 features][ROWS][feature]. */

/* ROWS queries against 32 points. bias: what each point's sum begins with. */
static inline __attribute__((always_inline)) void NAME(multiply_codes)(const int8_t *packed, const uint8_t *panels,
                                                                       const int32_t *bias, int64_t width,
                                                                       int32_t (*sums)[2 * PANEL]) {
    NAME(tile_codes)(packed, panels, panels + PANEL * width, bias, width, sums);
}

static void NAME(sweep_codes)(const int8_t *packed, const codes_t *codes, int64_t first, int64_t last,
                              best_t *const *best, int64_t rows, int64_t most, int64_t capacity) {
    int32_t sums[ROWS][2 * PANEL] __attribute__((aligned(64)));
    for (int64_t at = first / PANEL * PANEL; at < last; at += 2 * PANEL) {
        uint32_t real = last - at >= 32 ? 0xffffffffu : ((uint32_t)1 << (last - at)) - 1;
        if (at < first) real &= 0xffffffffu << (first - at);
        NAME(multiply_codes)(packed, codes->panels + at * codes->width, codes->bias + at, codes->width, sums);
        for (int64_t r = 0; r < rows; r++) {
            best_t *one = best[r];
            for (uint32_t mask = NAME(mask_codes)(sums[r], one->least) & real; mask; mask &= mask - 1) {
                const int place = __builtin_ctz(mask);
                if (sums[r][place] >= one->least) offer_sum(one, sums[r][place], (int32_t)(at + place), most, capacity);
            }
        }
    }
}

static inline void NAME(pack_query)(const int8_t *query, int64_t width, int64_t r, int8_t *packed) {
    for (int64_t g = 0; g < width / 4; g++) memcpy(packed + (g * ROWS + r) * 4, query + g * 4, 4);
}

/* The best k of `count` points for each of `num` queries, (num, width), best first. self: their own numbers, or NULL. */
static int NAME(search_codes)(const int8_t *queries, int64_t num, const codes_t *codes, int64_t count,
                              const int32_t *self, int64_t k, int32_t *number) {
    const int64_t capacity = capacity_for(k), block = 20 * ROWS, width = codes->width;
    const int64_t stretch = panel_stretch((width + 3) / 4);
    uint64_t *keys = malloc((size_t)(block * capacity) * sizeof *keys);
    best_t *best = malloc((size_t)block * sizeof *best);
    int8_t *packed = malloc((size_t)(block * width));
    int failed = !keys || !best || !packed;
    for (int64_t start = 0; start < num && !failed; start += block) {
        int64_t size = num - start < block ? num - start : block;
        memset(packed, 0, (size_t)(block * width));
        for (int64_t i = 0; i < size; i++) {
            NAME(pack_query)(queries + (start + i) * width, width, i % ROWS, packed + i / ROWS * ROWS * width);
            best_start(best + i, keys + i * capacity, self ? self[start + i] : -1);
        }
        for (int64_t at = 0; at < count; at += stretch)
            for (int64_t group = 0; group < size; group += ROWS) {
                best_t *members[ROWS];
                int64_t rows = size - group < ROWS ? size - group : ROWS;
                for (int64_t r = 0; r < rows; r++) members[r] = best + group + r;
                NAME(sweep_codes)(packed + group * width, codes, at, count - at < stretch ? count : at + stretch,
                                  members, rows, k, capacity);
            }
        for (int64_t i = 0; i < size; i++) best_numbers(best + i, k, number + (start + i) * k);
    }
    free(keys), free(best), free(packed);
    return failed ? -1 : 0;
}

/* Sums of products of `num` queries, (num, width), and all points: (num, count). */
static int NAME(multiply_all_codes)(const int8_t *queries, int64_t num, const codes_t *codes, int64_t count,
                                    int32_t *out) {
    int32_t sums[ROWS][2 * PANEL] __attribute__((aligned(64)));
    const int64_t width = codes->width;
    int8_t *packed = calloc((size_t)(ROWS * width), 1);
    if (!packed) return -1;
    for (int64_t start = 0; start < num; start += ROWS) {
        const int64_t rows = num - start < ROWS ? num - start : ROWS;
        for (int64_t r = 0; r < rows; r++) NAME(pack_query)(queries + (start + r) * width, width, r, packed);
        for (int64_t at = 0; at < count; at += 2 * PANEL) {
            const int64_t size = count - at < 2 * PANEL ? count - at : 2 * PANEL;
            NAME(multiply_codes)(packed, codes->panels + at * width, codes->bias + at, width, sums);
            for (int64_t r = 0; r < rows; r++)
                memcpy(out + (start + r) * count + at, sums[r], (size_t)size * sizeof **sums);
        }
    }
    free(packed);
    return 0;
}

/* Eight bits for each number of a row less the mean, the largest 127. Returns what one of them stands for. The loops are
 * apart, so that no product is fused with a sum: that would round elsewhere. */
static inline double NAME(round_row)(const float *row, const float *mean, int64_t d, float *value, int8_t *code) {
    float largest = 0;
    for (int64_t f = 0; f < d; f++) value[f] = row[f] - mean[f];
    for (int64_t f = 0; f < d; f++) largest = fabsf(value[f]) > largest ? fabsf(value[f]) : largest;
    const float inverse = largest > 0 ? 127 / largest : 0;
    if (!(inverse > 0 && inverse < INFINITY)) { /* nothing, or less than a code can say */
        for (int64_t f = 0; f < d; f++) code[f] = 0;
        return 0;
    }
    for (int64_t f = 0; f < d; f++) value[f] *= inverse;
    for (int64_t f = 0; f < d; f++) {
        const float shifted = value[f] + 12582912.0f; /* 1.5 * 2^23: the whole number is in the lowest bits */
        int32_t bits;
        memcpy(&bits, &shifted, 4);
        code[f] = (int8_t)bits;
    }
    return (double)largest / 127;
}

/* Codes of rows first to last (exclusive) of the members: what `basis`, `outputs` points of as many numbers as a row,
 * rounded up to a multiple of 4, makes of a row less the mean, times `factor`. along: the inner product of each row and
 * the mean. codes, along: of all members. */
static int NAME(encode_rows)(const table_t *table, const float *mean, const codes_t *basis, int64_t outputs,
                             double factor, int64_t first, int64_t last, int8_t *codes, float *along) {
    int32_t sums[ROWS][2 * PANEL] __attribute__((aligned(64)));
    const int64_t d = table->d, width = basis->width;
    int8_t *packed = calloc((size_t)(ROWS * width), 1), *rounded = calloc((size_t)width, 1);
    float *value = malloc((size_t)d * sizeof *value);
    double *query = malloc((size_t)d * sizeof *query);
    int failed = !packed || !rounded || !value || !query;
    for (int64_t f = 0; f < d && !failed; f++) query[f] = mean[f];
    for (int64_t start = first; start < last && !failed; start += ROWS) {
        const int64_t rows = last - start < ROWS ? last - start : ROWS;
        double scale[ROWS];
        int32_t shift[ROWS];
        for (int64_t r = 0; r < rows; r++) {
            const float *row = table_row(table, start + r);
            scale[r] = NAME(round_row)(row, mean, d, value, rounded) * factor;
            NAME(multiply)(query, &row, d, 1, along + start + r);
            shift[r] = 0;
            for (int64_t f = 0; f < d; f++) shift[r] += rounded[f];
            NAME(pack_query)(rounded, width, r, packed);
        }
        for (int64_t at = 0; at < outputs; at += 2 * PANEL) {
            const int64_t size = outputs - at < 2 * PANEL ? outputs - at : 2 * PANEL;
            NAME(multiply_codes)(packed, basis->panels + at * width, basis->bias + at, width, sums);
            for (int64_t r = 0; r < rows; r++)
                for (int64_t i = 0; i < size; i++) {
                    const double exact = (double)(sums[r][i] - POINT_ZERO * shift[r]) * scale[r];
                    const double bounded = exact > 127 ? 127 : exact < -127 ? -127 : exact;
                    codes[(start + r) * outputs + at + i] = (int8_t)lrint(bounded);
                }
        }
    }
    free(packed), free(rounded), free(value), free(query);
    return failed ? -1 : 0;
}

/* Rows first to last of the product of a, (n, m), and b, (m, w), in float64, summed in the order of m. Products of
 * float32 are exact, so all instruction sets give the same bits. */
static void NAME(multiply_matrices)(const float *a, const float *b, int64_t m, int64_t w, int64_t first, int64_t last,
                                    double *out) {
    enum { SIDE = 4, ACROSS = 2 };
    for (int64_t i = first; i < last; i += SIDE) {
        const int64_t rows = last - i < SIDE ? last - i : SIDE;
        int64_t j = 0;
        for (; j + ACROSS * WIDE <= w; j += ACROSS * WIDE) {
            NAME(wide) sum[SIDE][ACROSS] = {{{0}}};
            const float *source[SIDE];
            for (int64_t r = 0; r < SIDE; r++) source[r] = a + (r < rows ? i + r : i) * m;
            for (int64_t f = 0; f < m; f++) {
                NAME(wide) right[ACROSS];
#pragma GCC unroll 4
                for (int c = 0; c < ACROSS; c++)
                    right[c] =
                        __builtin_convertvector(*(const NAME(half) *)(b + f * w + j + c * WIDE), NAME(wide));
#pragma GCC unroll 4
                for (int r = 0; r < SIDE; r++)
#pragma GCC unroll 4
                    for (int c = 0; c < ACROSS; c++) sum[r][c] += right[c] * (double)source[r][f];
            }
            for (int64_t r = 0; r < rows; r++) memcpy(out + (i + r) * w + j, sum[r], ACROSS * WIDE * sizeof *out);
        }
        for (; j < w; j++)
            for (int64_t r = 0; r < rows; r++) {
                double sum = 0;
                for (int64_t f = 0; f < m; f++) sum += (double)a[(i + r) * m + f] * (double)b[f * w + j];
                out[(i + r) * w + j] = sum;
            }
    }
}
