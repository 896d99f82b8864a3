/* Points sorted by cell, and the plan of which of a cell's points visit which cells. */
#ifndef FEWLABELS_CELLS_H
#define FEWLABELS_CELLS_H

#include <stdint.h>
#include <stdlib.h>

#include "topk.h"

#define PANEL 16
#define SOME 4 /* every fourth neighbour says enough of where their neighbours lie */

typedef struct {
    const float *panels;  /* all points in order, 16 a panel; one spare panel at the end */
    const int64_t *start; /* (num + 1) first point of each cell */
    int64_t num, d;
} cells_t;

/* A buffer of 64 beyond k is cut back about once in 64 accepted candidates. */
static int64_t capacity_for(int64_t k) { return k + (k < 64 ? 64 : k); }

/* Points, a multiple of 32, that take about 256 KiB: they stay in the second-level cache while queries pass. */
static int64_t panel_stretch(int64_t d) {
    int64_t points = (262144 / (4 * d)) / 32 * 32;
    return points < 32 ? 32 : points;
}

typedef struct {
    int64_t num;     /* cells to visit, near ones first */
    int32_t *cell;   /* (num) */
    int64_t *first;  /* (num + 1) into row */
    int32_t *row;    /* the points that visit, by their place in the home cell */
    int32_t *order;  /* (number of cells) scratch: place of a cell in `cell`, -1 elsewhere */
    int64_t capacity;
} visits_t;

static int visits_open(visits_t *visits, int64_t num_cells, int64_t num_visits) {
    visits->num = 0;
    visits->cell = malloc((size_t)num_cells * sizeof *visits->cell);
    visits->first = malloc((size_t)(num_cells + 2) * sizeof *visits->first);
    visits->row = malloc((size_t)(num_visits + 1) * sizeof *visits->row);
    visits->order = malloc((size_t)num_cells * sizeof *visits->order);
    if (!visits->cell || !visits->first || !visits->row || !visits->order) return -1;
    for (int64_t i = 0; i < num_cells; i++) visits->order[i] = -1;
    return 0;
}

static void visits_close(visits_t *visits) {
    free(visits->cell), free(visits->first), free(visits->row), free(visits->order);
}

/* probes: (size, num_probes) cells of each point, nearest first, -1 for none. */
static void visits_plan(visits_t *visits, const int32_t *probes, int64_t size, int64_t num_probes) {
    int64_t *first = visits->first;
    visits->num = 0;
    for (int64_t rank = 0; rank < num_probes; rank++)
        for (int64_t i = 0; i < size; i++) {
            int32_t cell = probes[i * num_probes + rank];
            if (cell < 0) continue;
            if (visits->order[cell] < 0) {
                visits->order[cell] = (int32_t)visits->num;
                visits->cell[visits->num] = cell;
                first[++visits->num] = 0;
            }
            first[visits->order[cell] + 1]++;
        }
    first[0] = 0;
    for (int64_t v = 0; v < visits->num; v++) first[v + 1] += first[v];
    for (int64_t i = 0; i < size; i++)
        for (int64_t rank = 0; rank < num_probes; rank++) {
            int32_t cell = probes[i * num_probes + rank];
            if (cell >= 0) visits->row[first[visits->order[cell]]++] = (int32_t)i;
        }
    for (int64_t v = visits->num; v > 0; v--) first[v] = first[v - 1];
    first[0] = 0;
    for (int64_t v = 0; v < visits->num; v++) visits->order[visits->cell[v]] = -1;
}

/* The graph of the same points before they moved. pointers, columns: its edges. node: of each point. cell: of each
 * node, -1 for none. */
typedef struct {
    const int32_t *pointers, *columns, *node, *cell;
} before_t;

/* Count the cells of a node's neighbours; those not counted before are added to seen. Returns how many it has. */
static int32_t count_cells(const before_t *before, int32_t node, int32_t *count, int32_t *seen, int32_t num) {
    for (int64_t e = before->pointers[node]; e < before->pointers[node + 1]; e++) {
        int32_t cell = before->cell[before->columns[e]];
        if (cell >= 0 && !count[cell]++) seen[num++] = cell;
    }
    return num;
}

/* Take the `most` cells with the highest counts, highest first; -1 where there are no more. */
static void take_cells(int32_t *count, const int32_t *seen, int32_t num, int64_t most, int32_t *cells) {
    for (int64_t at = 0; at < most; at++) {
        int32_t best = -1;
        for (int32_t s = 0; s < num; s++)
            if (count[seen[s]] > 0 && (best < 0 || count[seen[s]] > count[best])) best = seen[s];
        cells[at] = best;
        if (best >= 0) count[best] = 0;
    }
}

/* probes: (n, most). For each of the points first to last (exclusive): where spread is 0, its own cell, the others in
 * which its neighbours of the last graph lie, those with most of them first, and -1; else, where it has `spread` of
 * these already, up to `further` that it has not, of some of its neighbours' neighbours. */
static int probe_before(const before_t *before, int64_t num_cells, int64_t spread, int64_t further, int64_t first,
                        int64_t last, int64_t most, int32_t *probes) {
    int32_t *count = calloc((size_t)num_cells, sizeof *count), *seen = malloc((size_t)num_cells * sizeof *seen);
    if (!count || !seen) {
        free(count), free(seen);
        return -1;
    }
    for (int64_t i = first; i < last; i++) {
        const int32_t node = before->node[i];
        int32_t *cells = probes + i * most, num = 0;
        if (!spread) {
            seen[num++] = before->cell[node];
            count[seen[0]] = INT32_MAX / 2; /* the first to be taken */
            num = count_cells(before, node, count, seen, num);
            take_cells(count, seen, num, most, cells);
        } else if (cells[spread - 1] >= 0) {
            for (; num < most && cells[num] >= 0; num++) {
                seen[num] = cells[num];
                count[seen[num]] = INT32_MIN / 2; /* never to be taken again */
            }
            const int64_t free_at = num, room = most - num;
            for (int64_t e = before->pointers[node]; e < before->pointers[node + 1]; e += SOME)
                num = count_cells(before, before->columns[e], count, seen, num);
            take_cells(count, seen, num, room < further ? room : further, cells + free_at);
        }
        for (int32_t s = 0; s < num; s++) count[seen[s]] = 0;
    }
    free(count), free(seen);
    return 0;
}

#endif
