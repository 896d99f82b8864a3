/* The affinity matrix from lists of neighbours: W = A + A^T, normalised, by counting sorts. */
#ifndef FEWLABELS_SPARSE_H
#define FEWLABELS_SPARSE_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "topk.h"

typedef struct {
    const int32_t *pointers; /* (rows + 1) */
    const int32_t *columns;
    const float *weights;
} csr_t;

/* Rows of vectors: float32, or bfloat16 as solve.h packs it. One of the two is NULL. */
typedef struct {
    float *wide;
    uint32_t *narrow;
} rows_t;

/* How a similarity becomes a weight: (s / largest) ^ gamma, negative ones as 0 if clip. */
typedef struct {
    double gamma, largest;
    int clip;
} power_t;

static inline double weight_of(power_t power, float similarity) {
    double s = (double)similarity / power.largest;
    if (power.clip && s <= 0) return 0;
    if (power.gamma == 3) return s * s * s;
    return power.gamma == 1 ? s : pow(s, power.gamma);
}

/* The lists of n rows, the first of which has the number `base`. numbers: (n, k), of rows anywhere, -1 for none. */
typedef struct {
    const int32_t *numbers;
    const float *similarity;
    int64_t base, n, k;
} part_t;

/* Whether entry e, of the list of the i-th row, is offered to the row that it names. missing: not where that row's own
 * list has i, or would not take it, since i is farther than its last one. A row whose list is not here is offered all:
 * merge_lists finds out. */
static inline int is_offered(const part_t *part, int missing, int64_t i, int64_t e) {
    const int64_t there = part->numbers[e] - part->base, k = part->k;
    if (!missing || there < 0 || there >= part->n) return 1;
    const int32_t *theirs = part->numbers + there * k;
    if (theirs[k - 1] >= 0 && part->similarity[e] < part->similarity[there * k + k - 1]) return 0;
    int present = 0;
    for (int64_t j = 0; j < k; j++) present |= theirs[j] == (int32_t)(part->base + i);
    return !present;
}

/* How many of these rows list each of the rows number first to last (exclusive). count: from row number `target` on. */
static void count_reverse(const part_t *part, int missing, int64_t target, int64_t first, int64_t last,
                          int32_t *count) {
    const int32_t *numbers = part->numbers;
    for (int64_t i = 0; i < part->n; i++)
        for (int64_t e = i * part->k; e < (i + 1) * part->k; e++)
            if (numbers[e] >= first && numbers[e] < last && is_offered(part, missing, i, e))
                count[numbers[e] - target]++;
}

/* For each of the rows number first to last those of these rows that list it, ascending, and the similarity.
 * next: from row number `target` on, where each one's entries begin; changed: afterwards it is where they end. */
static void fill_reverse(const part_t *part, int missing, int64_t target, int64_t first, int64_t last, int64_t *next,
                         int32_t *sources, float *values) {
    const int32_t *numbers = part->numbers;
    for (int64_t i = 0; i < part->n; i++)
        for (int64_t e = i * part->k; e < (i + 1) * part->k; e++)
            if (numbers[e] >= first && numbers[e] < last && is_offered(part, missing, i, e)) {
                int64_t at = next[numbers[e] - target]++;
                sources[at] = (int32_t)(part->base + i);
                values[at] = part->similarity[e];
            }
}

/* Keep in each list of the rows first to last, numbered from `base` on, the best k of its own entries and of those
 * offered to it. begin, sources, values: the offers, grouped by the row that gets them. */
static int merge_lists(const int64_t *begin, const int32_t *sources, const float *values, int64_t base, int64_t k,
                       int64_t first, int64_t last, int32_t *number, float *similarity) {
    int64_t longest = 0;
    for (int64_t i = first; i < last; i++)
        if (begin[i + 1] - begin[i] > longest) longest = begin[i + 1] - begin[i];
    best_t best;
    uint64_t *keys = malloc((size_t)(k + longest + 1) * sizeof *keys);
    if (!keys) return -1;
    for (int64_t i = first; i < last; i++) {
        if (begin[i] == begin[i + 1]) continue;
        best_start(&best, keys, (int32_t)(base + i));
        best_read(&best, k, number + i * k, similarity + i * k);
        for (int64_t e = begin[i]; e < begin[i + 1]; e++)
            offer(&best, values[e], sources[e], k, k + longest + 1);
        best_write(&best, k, number + i * k, similarity + i * k);
    }
    free(keys);
    return 0;
}

typedef struct {
    int32_t number;
    float similarity;
} edge_t;

static int smaller_first(const void *a, const void *b) {
    int32_t left = ((const edge_t *)a)->number, right = ((const edge_t *)b)->number;
    return (left > right) - (left < right);
}

static int64_t sorted_edges(const int32_t *numbers, const float *similarity, int64_t k, edge_t *edges) {
    int64_t size = 0;
    for (int64_t e = 0; e < k; e++) {
        if (numbers[e] < 0) continue;
        int64_t j = size++;
        if (k <= 256) /* short lists are sorted as they come in */
            for (; j > 0 && edges[j - 1].number > numbers[e]; j--) edges[j] = edges[j - 1];
        edges[j] = (edge_t){numbers[e], similarity[e]};
    }
    if (k > 256) qsort(edges, (size_t)size, sizeof *edges, smaller_first);
    return size;
}

/* The lists of some rows, which need not be all, and who lists these rows. */
typedef struct {
    const int32_t *numbers; /* (n, k) */
    const float *similarity;
    int64_t k;
    const int64_t *begin; /* (n + 1) into sources and values */
    const int32_t *sources;
    const float *values;
    power_t power;
} lists_t;

/* One row of A + A^T, columns ascending. Returns its number of entries; columns and weights may be NULL. */
static int64_t merged_row(const lists_t *lists, int64_t i, edge_t *edges, int32_t *columns, double *weights) {
    int64_t size = sorted_edges(lists->numbers + i * lists->k, lists->similarity + i * lists->k, lists->k, edges);
    int64_t forward = 0, back = lists->begin[i], stop = lists->begin[i + 1], entries = 0;
    while (forward < size || back < stop) {
        int32_t left = forward < size ? edges[forward].number : INT32_MAX;
        int32_t right = back < stop ? lists->sources[back] : INT32_MAX;
        double weight = 0;
        if (left <= right) weight += weight_of(lists->power, edges[forward++].similarity);
        if (right <= left) weight += weight_of(lists->power, lists->values[back++]);
        if (weight == 0) continue;
        if (columns) {
            columns[entries] = left < right ? left : right;
            weights[entries] = weight;
        }
        entries++;
    }
    return entries;
}

/* Entries and degree of the rows first to last of A + A^T. */
static int measure_rows(const lists_t *lists, int64_t first, int64_t last, int64_t *entries, double *degree) {
    int64_t longest = 0;
    for (int64_t i = first; i < last; i++)
        if (lists->begin[i + 1] - lists->begin[i] > longest) longest = lists->begin[i + 1] - lists->begin[i];
    edge_t *edges = malloc((size_t)(lists->k + 1) * sizeof *edges);
    int32_t *columns = malloc((size_t)(lists->k + longest + 1) * sizeof *columns);
    double *weights = malloc((size_t)(lists->k + longest + 1) * sizeof *weights);
    int failed = !edges || !columns || !weights;
    for (int64_t i = first; i < last && !failed; i++) {
        entries[i] = merged_row(lists, i, edges, columns, weights);
        degree[i] = 0;
        for (int64_t e = 0; e < entries[i]; e++) degree[i] += weights[e];
    }
    free(edges), free(columns), free(weights);
    return failed ? -1 : 0;
}

/* The rows first to last, numbered from `base` on, of D^-1/2 (A + A^T) D^-1/2.
 * scale: 1 / sqrt(degree) of all rows that are columns here, 0 for a row without edges. */
static int write_rows(const lists_t *lists, int64_t base, int64_t first, int64_t last, const double *scale,
                      const int32_t *pointers, int32_t *columns, float *out) {
    int64_t longest = 0;
    for (int64_t i = first; i < last; i++)
        if (pointers[i + 1] - pointers[i] > longest) longest = pointers[i + 1] - pointers[i];
    edge_t *edges = malloc((size_t)(lists->k + 1) * sizeof *edges);
    double *weights = malloc((size_t)(longest + 1) * sizeof *weights);
    int failed = !edges || !weights;
    for (int64_t i = first; i < last && !failed; i++) {
        int32_t *own = columns + pointers[i];
        int64_t entries = merged_row(lists, i, edges, own, weights);
        for (int64_t e = 0; e < entries; e++)
            out[pointers[i] + e] = (float)(weights[e] * scale[base + i] * scale[own[e]]);
    }
    free(edges), free(weights);
    return failed ? -1 : 0;
}

/* coarse[g, h] += sum of shape_i W_ij shape_j over i in g and j in h, for the groups first to last. */
static void coarsen(const csr_t *w, const float *shape, const int64_t *groups, const int32_t *group_of, int64_t num,
                    int64_t first, int64_t last, double *coarse) {
    for (int64_t g = first; g < last; g++)
        for (int64_t i = groups[g]; i < groups[g + 1]; i++)
            for (int32_t e = w->pointers[i]; e < w->pointers[i + 1]; e++)
                coarse[g * num + group_of[w->columns[e]]] +=
                    (double)shape[i] * w->weights[e] * shape[w->columns[e]];
}

static int32_t root_of(int32_t *parent, int32_t i) {
    while (parent[i] != i) {
        parent[i] = parent[parent[i]];
        i = parent[i];
    }
    return i;
}

/* component: the smallest row number of each row's connected component (union-find). */
static void components(const int32_t *pointers, const int32_t *columns, int64_t n, int32_t *component) {
    for (int64_t i = 0; i < n; i++) component[i] = (int32_t)i;
    for (int64_t i = 0; i < n; i++)
        for (int32_t e = pointers[i]; e < pointers[i + 1] && columns[e] < i; e++) {
            int32_t a = root_of(component, (int32_t)i), b = root_of(component, columns[e]);
            if (a < b) component[b] = a;
            else component[a] = b;
        }
    for (int64_t i = 0; i < n; i++) component[i] = root_of(component, (int32_t)i);
}

#endif
