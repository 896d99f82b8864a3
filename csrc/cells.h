/* Points sorted by cell, and the plan of which of a cell's points visit which cells. */
#ifndef FEWLABELS_CELLS_H
#define FEWLABELS_CELLS_H

#include <stdint.h>
#include <stdlib.h>

#include "topk.h"

#define PANEL 16

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

#endif
