/* The nearest points in the probed clusters. Included once for each instruction set, after search.h and codes.h. */

/* The best k of each point of the clusters first to last (exclusive), among the points of the clusters that it probes
 * (those that the panels hold) and, where there are `more` than these, those that the lists hold already. The best
 * `most` by sums in float32, or by codes where they are not NULL, are candidates, which are ranked by their exact
 * similarity. queries: codes of the points from number `base` on, the first point of probes (rows of num_probes), number
 * and similarity (rows of k). */
static int NAME(search_clusters)(const clusters_t *clusters, const codes_t *codes, const int8_t *queries,
                                 const table_t *table, int64_t base, const int32_t *probes, int64_t num_probes,
                                 int64_t k, int64_t most, int more, int64_t first, int64_t last, int32_t *number,
                                 float *similarity) {
    const int64_t d = table->d, capacity = capacity_for(most), *start = clusters->start;
    const int64_t stride = codes ? codes->width : d * (int64_t)sizeof(float);
    int64_t largest = 0;
    for (int64_t cluster = first; cluster < last; cluster++)
        if (start[cluster + 1] - start[cluster] > largest) largest = start[cluster + 1] - start[cluster];
    visits_t visits;
    uint64_t *keys = malloc((size_t)(largest * capacity + 1) * sizeof *keys);
    best_t *best = malloc((size_t)(largest + 1) * sizeof *best);
    void *packed = calloc((size_t)(ROWS * stride), 1);
    double *query = malloc((size_t)d * sizeof *query);
    int failed = visits_open(&visits, clusters->num, largest * num_probes) || !keys || !best || !packed || !query;
    for (int64_t home = first; home < last && !failed; home++) {
        const int64_t row = start[home] - base, size = start[home + 1] - start[home];
        for (int64_t i = 0; i < size; i++) {
            best_start(best + i, keys + i * capacity, (int32_t)(start[home] + i));
            if (more) best_know(best + i, k, number + (row + i) * k, similarity + (row + i) * k, table->slack);
        }
        visits_plan(&visits, probes + row * num_probes, size, num_probes);
        for (int64_t v = 0; v < visits.num; v++) {
            const int64_t cluster = visits.cluster[v], there = held_at(clusters, cluster);
            if (there < 0) continue;
            const int64_t end = there + start[cluster + 1] - start[cluster], shift = start[cluster] - there;
            for (int64_t at = visits.first[v]; at < visits.first[v + 1]; at += ROWS) {
                int64_t rows = visits.first[v + 1] - at < ROWS ? visits.first[v + 1] - at : ROWS;
                best_t *members[ROWS];
                for (int64_t r = 0; r < rows; r++) {
                    const int64_t i = visits.row[at + r];
                    if (codes) NAME(pack_query)(queries + (row + i) * codes->width, codes->width, r, packed);
                    else NAME(pack_row)(table_row(table, start[home] + i), d, r, packed);
                    members[r] = best + i;
                }
                if (codes) NAME(sweep_codes)(packed, codes, there, end, members, rows, most, capacity);
                else NAME(sweep)(packed, clusters->panels, d, there, end, shift, members, rows, most, capacity);
            }
        }
        for (int64_t i = 0; i < size; i++) {
            const float *source = table_row(table, start[home] + i);
            for (int64_t f = 0; f < d; f++) query[f] = source[f];
            best_cut(best + i, most);
            NAME(rank_keys)(query, table->rows, table->members, d, best[i].keys, best[i].count);
            if (more) best_join(best + i, similarity + (row + i) * k);
            best_write(best + i, k, number + (row + i) * k, similarity + (row + i) * k);
        }
    }
    visits_close(&visits), free(keys), free(best), free(packed), free(query);
    return failed ? -1 : 0;
}
