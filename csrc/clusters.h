/* Points sorted by cluster, and the plan of which of a cluster's points probe which clusters. */
#ifndef FEWLABELS_CLUSTERS_H
#define FEWLABELS_CLUSTERS_H

#include <stdint.h>
#include <stdlib.h>

#include "topk.h"

#define PANEL 16
#define SOME 4 /* every fourth neighbour says enough of where their neighbours lie */

/* Points are numbered in the order of their clusters. The panels may hold some of the clusters only, in any order. */
typedef struct {
    const float *panels;  /* 16 points a panel; one spare panel at the end */
    const int64_t *start; /* (num + 1) first point of each cluster */
    const int64_t *held;  /* (num) where each cluster begins in the panels, -1: it is not there; NULL: at its start */
    int64_t num, d;
} clusters_t;

/* The rows that the points are. slack: what a sum in float32 may be off by. */
typedef struct {
    const float *rows;
    const int64_t *members; /* the row of each point */
    int64_t n, d;
    float slack;
} table_t;

/* Points as codes of `width` numbers, a multiple of 4; one spare panel at the end, of panels and of bias. */
typedef struct {
    const uint8_t *panels;
    const int32_t *bias; /* what is added to the products of each */
    int64_t width;
} codes_t;

#define POINT_ZERO 64 /* the code of a point that stands for 0 */

static inline const float *table_row(const table_t *table, int64_t point) {
    return table->rows + table->members[point] * table->d;
}

static inline int64_t held_at(const clusters_t *clusters, int64_t cluster) {
    return clusters->held ? clusters->held[cluster] : clusters->start[cluster];
}

/* A buffer of 64 beyond k is cut back about once in 64 accepted candidates. */
static int64_t capacity_for(int64_t k) { return k + (k < 64 ? 64 : k); }

/* Points, a multiple of 32, that take about 256 KiB: they stay in the second-level cache while queries pass. */
static int64_t panel_stretch(int64_t d) {
    int64_t points = (262144 / (4 * d)) / 32 * 32;
    return points < 32 ? 32 : points;
}

typedef struct {
    int64_t num;      /* clusters to visit, near ones first */
    int32_t *cluster; /* (num) */
    int64_t *first;   /* (num + 1) into row */
    int32_t *row;     /* the points that visit, by their place in the home cluster */
    int32_t *order;   /* (number of clusters) scratch: place of a cluster in `cluster`, -1 elsewhere */
    int64_t capacity;
} visits_t;

static int visits_open(visits_t *visits, int64_t num_clusters, int64_t num_visits) {
    visits->num = 0;
    visits->cluster = malloc((size_t)num_clusters * sizeof *visits->cluster);
    visits->first = malloc((size_t)(num_clusters + 2) * sizeof *visits->first);
    visits->row = malloc((size_t)(num_visits + 1) * sizeof *visits->row);
    visits->order = malloc((size_t)num_clusters * sizeof *visits->order);
    if (!visits->cluster || !visits->first || !visits->row || !visits->order) return -1;
    for (int64_t i = 0; i < num_clusters; i++) visits->order[i] = -1;
    return 0;
}

static void visits_close(visits_t *visits) {
    free(visits->cluster), free(visits->first), free(visits->row), free(visits->order);
}

/* probes: (size, num_probes) clusters of each point, nearest first, -1 for none. */
static void visits_plan(visits_t *visits, const int32_t *probes, int64_t size, int64_t num_probes) {
    int64_t *first = visits->first;
    visits->num = 0;
    for (int64_t rank = 0; rank < num_probes; rank++)
        for (int64_t i = 0; i < size; i++) {
            int32_t cluster = probes[i * num_probes + rank];
            if (cluster < 0) continue;
            if (visits->order[cluster] < 0) {
                visits->order[cluster] = (int32_t)visits->num;
                visits->cluster[visits->num] = cluster;
                first[++visits->num] = 0;
            }
            first[visits->order[cluster] + 1]++;
        }
    first[0] = 0;
    for (int64_t v = 0; v < visits->num; v++) first[v + 1] += first[v];
    for (int64_t i = 0; i < size; i++)
        for (int64_t rank = 0; rank < num_probes; rank++) {
            int32_t cluster = probes[i * num_probes + rank];
            if (cluster >= 0) visits->row[first[visits->order[cluster]]++] = (int32_t)i;
        }
    for (int64_t v = visits->num; v > 0; v--) first[v] = first[v - 1];
    first[0] = 0;
    for (int64_t v = 0; v < visits->num; v++) visits->order[visits->cluster[v]] = -1;
}

/* The graph of the same points in the previous epoch. pointers, columns: its edges. node: of each point. cluster: of
 * each node, -1 for none. */
typedef struct {
    const int32_t *pointers, *columns, *node, *cluster;
} previous_t;

/* Count the clusters of a node's neighbours; those not counted before are added to seen. Returns how many it has. */
static int32_t count_clusters(const previous_t *previous, int32_t node, int32_t *count, int32_t *seen, int32_t num) {
    for (int64_t e = previous->pointers[node]; e < previous->pointers[node + 1]; e++) {
        int32_t cluster = previous->cluster[previous->columns[e]];
        if (cluster >= 0 && !count[cluster]++) seen[num++] = cluster;
    }
    return num;
}

/* Take the `most` clusters with the highest counts, highest first; -1 where there are no more. */
static void take_clusters(int32_t *count, const int32_t *seen, int32_t num, int64_t most, int32_t *clusters) {
    for (int64_t at = 0; at < most; at++) {
        int32_t best = -1;
        for (int32_t s = 0; s < num; s++)
            if (count[seen[s]] > 0 && (best < 0 || count[seen[s]] > count[best])) best = seen[s];
        clusters[at] = best;
        if (best >= 0) count[best] = 0;
    }
}

/* probes: (n, most). For each of the points first to last (exclusive): where spread is 0, its own cluster, the others
 * in which its neighbours of the previous graph lie, those with most of them first, and -1; else, where it has `spread`
 * of these already, up to `further` that it has not, of some of its neighbours' neighbours. */
static int probe_previous(const previous_t *previous, int64_t num_clusters, int64_t spread, int64_t further,
                          int64_t first, int64_t last, int64_t most, int32_t *probes) {
    int32_t *count = calloc((size_t)num_clusters, sizeof *count);
    int32_t *seen = malloc((size_t)num_clusters * sizeof *seen);
    if (!count || !seen) {
        free(count), free(seen);
        return -1;
    }
    for (int64_t i = first; i < last; i++) {
        const int32_t node = previous->node[i];
        int32_t *clusters = probes + i * most, num = 0;
        if (!spread) {
            seen[num++] = previous->cluster[node];
            count[seen[0]] = INT32_MAX / 2; /* the first to be taken */
            num = count_clusters(previous, node, count, seen, num);
            take_clusters(count, seen, num, most, clusters);
        } else if (clusters[spread - 1] >= 0) {
            for (; num < most && clusters[num] >= 0; num++) {
                seen[num] = clusters[num];
                count[seen[num]] = INT32_MIN / 2; /* never to be taken again */
            }
            const int64_t free_at = num, room = most - num;
            for (int64_t e = previous->pointers[node]; e < previous->pointers[node + 1]; e += SOME)
                num = count_clusters(previous, previous->columns[e], count, seen, num);
            take_clusters(count, seen, num, room < further ? room : further, clusters + free_at);
        }
        for (int32_t s = 0; s < num; s++) count[seen[s]] = 0;
    }
    free(count), free(seen);
    return 0;
}

#endif
