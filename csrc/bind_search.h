/* Python to C: the search, and reverse neighbours. */

/* Points that panels have room for, the spare one included. */
static int64_t padded(int64_t count) { return ((count + PANEL - 1) / PANEL + 1) * PANEL; }

/* The rows of (n, d) that `order` names, its entries first to last, as panels: entry i at place at + i. */
static PyObject *py_pack(PyObject *module, PyObject *args) {
    PyObject *o_rows, *o_order, *o_panels;
    Py_ssize_t n, d, count, at, first, last;
    if (!PyArg_ParseTuple(args, "OnnOnnnnO", &o_rows, &n, &d, &o_order, &count, &at, &first, &last, &o_panels))
        return NULL;
    arrays_t arrays = {.num = 0};
    const float *rows;
    const int64_t *order;
    float *panels;
    int failed = BORROW(o_rows, n * d, float, 0, 0, rows) || BORROW(o_order, count, int64_t, 0, 0, order) ||
                 BORROW(o_panels, padded(at + count) * d, float, 1, 0, panels);
    if (!failed) {
        Py_BEGIN_ALLOW_THREADS
        for (int64_t i = first; i < last; i++) {
            const float *source = rows + order[i] * d;
            float *target = panels + (at + i) / PANEL * PANEL * d + (at + i) % PANEL;
            for (int64_t f = 0; f < d; f++) target[f * PANEL] = source[f];
        }
        Py_END_ALLOW_THREADS
    }
    return done(&arrays, failed);
}

static PyObject *py_search_rows(PyObject *module, PyObject *args) {
    PyObject *o_queries, *o_panels, *o_self, *o_number, *o_similarity;
    Py_ssize_t num, d, count, k;
    if (!PyArg_ParseTuple(args, "OnnOnOnOO", &o_queries, &num, &d, &o_panels, &count, &o_self, &k, &o_number,
                          &o_similarity))
        return NULL;
    arrays_t arrays = {.num = 0};
    const float *queries, *panels;
    const int32_t *self;
    int32_t *number;
    float *similarity;
    int failed = BORROW(o_queries, num * d, float, 0, 0, queries) ||
                 BORROW(o_panels, padded(count) * d, float, 0, 0, panels) ||
                 BORROW(o_self, num, int32_t, 0, 1, self) || BORROW(o_number, num * k, int32_t, 1, 0, number) ||
                 BORROW(o_similarity, num * k, float, 1, 0, similarity);
    if (!failed) {
        Py_BEGIN_ALLOW_THREADS
        failed = isa->search_rows(queries, num, d, panels, count, self, k, number, similarity);
        Py_END_ALLOW_THREADS
    }
    return done(&arrays, failed);
}

/* Whether all of `members`, (count) or NULL, are rows of a table of n, -1 counting as one if nobody asks for it. */
static int are_rows(const int64_t *members, int64_t count, int64_t n) {
    int wrong = 0;
    for (int64_t i = 0; members && i < count; i++) wrong |= members[i] < -1 || members[i] >= n;
    if (wrong) PyErr_SetString(PyExc_ValueError, "members name rows that the table does not have");
    return !wrong;
}

/* rows: (n, d). members: (count) the row of each number, or None. candidates: (num, most). */
static PyObject *py_rank_rows(PyObject *module, PyObject *args) {
    PyObject *o_queries, *o_rows, *o_members, *o_candidates, *o_number, *o_similarity;
    Py_ssize_t num, d, n, count, most, k;
    if (!PyArg_ParseTuple(args, "OnnOnOnOnnOO", &o_queries, &num, &d, &o_rows, &n, &o_members, &count, &o_candidates,
                          &most, &k, &o_number, &o_similarity))
        return NULL;
    arrays_t arrays = {.num = 0};
    const float *queries, *rows;
    const int64_t *members;
    const int32_t *candidates;
    int32_t *number;
    float *similarity;
    int failed = BORROW(o_queries, num * d, float, 0, 0, queries) || BORROW(o_rows, n * d, float, 0, 0, rows) ||
                 BORROW(o_members, count, int64_t, 0, 1, members) ||
                 BORROW(o_candidates, num * most, int32_t, 0, 0, candidates) ||
                 BORROW(o_number, num * k, int32_t, 1, 0, number) ||
                 BORROW(o_similarity, num * k, float, 1, 0, similarity) || !are_rows(members, count, n);
    if (!failed) {
        Py_BEGIN_ALLOW_THREADS
        failed = isa->rank_rows(queries, num, d, rows, members, candidates, most, k, number, similarity);
        Py_END_ALLOW_THREADS
    }
    return done(&arrays, failed);
}

/* The places that the panels must have; -1 with an error set where a cluster of the range is not in them. */
static int64_t places_held(const clusters_t *clusters, int64_t base, int64_t first, int64_t last) {
    const int64_t *start = clusters->start;
    int64_t most = 0, missing = first < last && start[first] < base;
    for (int64_t cluster = 0; cluster < clusters->num; cluster++) {
        const int64_t size = start[cluster + 1] - start[cluster], at = held_at(clusters, cluster);
        if (at >= 0 && at + size > most) most = at + size;
        missing |= at < 0 && size && first <= cluster && cluster < last;
    }
    if (!missing) return most;
    PyErr_SetString(PyExc_ValueError, "the arrays do not hold all clusters whose points are searched for");
    return -1;
}

/* start: (num + 1). held: (num), or None where all clusters are in the panels. rows: (n, d), members: the row of each
 * point that is searched for or found. base: the first point of probes, number and similarity. first, last: clusters.
 * most: candidates that are ranked exactly. */
static PyObject *py_search_clusters(PyObject *module, PyObject *args) {
    PyObject *o_panels, *o_start, *o_held, *o_rows, *o_members, *o_probes, *o_number, *o_similarity;
    Py_ssize_t num, d, n, base, num_probes, k, most, first, last;
    int more;
    float slack;
    if (!PyArg_ParseTuple(args, "OOOnnOnOfnOnnninnOO", &o_panels, &o_start, &o_held, &num, &d, &o_rows, &n, &o_members,
                          &slack, &base, &o_probes, &num_probes, &k, &most, &more, &first, &last, &o_number,
                          &o_similarity))
        return NULL;
    arrays_t arrays = {.num = 0};
    clusters_t clusters = {NULL, NULL, NULL, num, d};
    table_t table = {NULL, NULL, n, d, slack};
    const int32_t *probes;
    int32_t *number;
    float *similarity;
    int failed = BORROW(o_start, num + 1, int64_t, 0, 0, clusters.start) ||
                 BORROW(o_held, num, int64_t, 0, 1, clusters.held) || BORROW(o_rows, n * d, float, 0, 0, table.rows);
    const int64_t places = failed ? -1 : places_held(&clusters, base, first, last);
    failed = places < 0 || BORROW(o_panels, padded(places) * d, float, 0, 0, clusters.panels) ||
             BORROW(o_members, clusters.start[num], int64_t, 0, 0, table.members) ||
             BORROW(o_probes, (clusters.start[last] - base) * num_probes, int32_t, 0, 0, probes) ||
             BORROW(o_number, (clusters.start[last] - base) * k, int32_t, 1, 0, number) ||
             BORROW(o_similarity, (clusters.start[last] - base) * k, float, 1, 0, similarity) ||
             !are_rows(table.members, clusters.start[num], n);
    if (!failed) {
        Py_BEGIN_ALLOW_THREADS
        failed = isa->search_clusters(&clusters, NULL, NULL, &table, base, probes, num_probes, k, most < k ? k : most,
                                      more, first, last, number, similarity);
        Py_END_ALLOW_THREADS
    }
    return done(&arrays, failed);
}

/* node, probes: of n points, which may be a part of all; first, last: places in these. */
static PyObject *py_probe_previous(PyObject *module, PyObject *args) {
    PyObject *o_pointers, *o_columns, *o_node, *o_cluster, *o_probes;
    Py_ssize_t nodes, n, num_clusters, spread, further, first, last, most;
    if (!PyArg_ParseTuple(args, "OOnOnOnnnnnnO", &o_pointers, &o_columns, &nodes, &o_node, &n, &o_cluster,
                          &num_clusters, &spread, &further, &first, &last, &most, &o_probes))
        return NULL;
    arrays_t arrays = {.num = 0};
    previous_t previous = {NULL, NULL, NULL, NULL};
    int32_t *probes;
    int failed = BORROW(o_pointers, nodes + 1, int32_t, 0, 0, previous.pointers);
    failed = failed || BORROW(o_columns, previous.pointers[nodes], int32_t, 0, 0, previous.columns) ||
             BORROW(o_node, n, int32_t, 0, 0, previous.node) ||
             BORROW(o_cluster, nodes, int32_t, 0, 0, previous.cluster) ||
             BORROW(o_probes, n * most, int32_t, 1, 0, probes);
    if (!failed) {
        Py_BEGIN_ALLOW_THREADS
        failed = probe_previous(&previous, num_clusters, spread, further, first, last, most, probes);
        Py_END_ALLOW_THREADS
    }
    return done(&arrays, failed);
}

/* Lists of n rows from number `base` on. count: of the rows from number `target` on, up to `last`. */
static PyObject *py_count_reverse(PyObject *module, PyObject *args) {
    PyObject *o_numbers, *o_similarity, *o_count;
    Py_ssize_t base, n, k, target, first, last;
    int missing;
    if (!PyArg_ParseTuple(args, "OOinnnnnnO", &o_numbers, &o_similarity, &missing, &base, &n, &k, &target, &first,
                          &last, &o_count))
        return NULL;
    arrays_t arrays = {.num = 0};
    part_t part = {.base = base, .n = n, .k = k};
    int32_t *count;
    int failed = BORROW(o_numbers, n * k, int32_t, 0, 0, part.numbers) ||
                 BORROW(o_similarity, n * k, float, 0, 0, part.similarity) ||
                 BORROW(o_count, last - target, int32_t, 1, 0, count);
    if (!failed) {
        Py_BEGIN_ALLOW_THREADS
        count_reverse(&part, missing, target, first, last, count);
        Py_END_ALLOW_THREADS
    }
    return done(&arrays, failed);
}

/* As count_reverse. next: of the rows from number `target` on. */
static PyObject *py_fill_reverse(PyObject *module, PyObject *args) {
    PyObject *o_numbers, *o_similarity, *o_next, *o_sources, *o_values;
    Py_ssize_t base, n, k, target, first, last, entries;
    int missing;
    if (!PyArg_ParseTuple(args, "OOinnnnnnOnOO", &o_numbers, &o_similarity, &missing, &base, &n, &k, &target, &first,
                          &last, &o_next, &entries, &o_sources, &o_values))
        return NULL;
    arrays_t arrays = {.num = 0};
    part_t part = {.base = base, .n = n, .k = k};
    int64_t *next;
    int32_t *sources;
    float *values;
    int failed = BORROW(o_numbers, n * k, int32_t, 0, 0, part.numbers) ||
                 BORROW(o_similarity, n * k, float, 0, 0, part.similarity) ||
                 BORROW(o_next, last - target, int64_t, 1, 0, next) ||
                 BORROW(o_sources, entries, int32_t, 1, 0, sources) || BORROW(o_values, entries, float, 1, 0, values);
    if (!failed) {
        Py_BEGIN_ALLOW_THREADS
        fill_reverse(&part, missing, target, first, last, next, sources, values);
        Py_END_ALLOW_THREADS
    }
    return done(&arrays, failed);
}

/* Lists of n rows from number `base` on, and what is offered to each; first, last: places in these. */
static PyObject *py_merge_lists(PyObject *module, PyObject *args) {
    PyObject *o_begin, *o_sources, *o_values, *o_number, *o_similarity;
    Py_ssize_t base, n, k, first, last;
    if (!PyArg_ParseTuple(args, "OOOnnnnnOO", &o_begin, &o_sources, &o_values, &base, &n, &k, &first, &last, &o_number,
                          &o_similarity))
        return NULL;
    arrays_t arrays = {.num = 0};
    const int64_t *begin = NULL;
    const int32_t *sources;
    const float *values;
    int32_t *number;
    float *similarity;
    int failed = BORROW(o_begin, n + 1, int64_t, 0, 0, begin);
    failed = failed || BORROW(o_sources, begin[n], int32_t, 0, 0, sources) ||
             BORROW(o_values, begin[n], float, 0, 0, values) || BORROW(o_number, n * k, int32_t, 1, 0, number) ||
             BORROW(o_similarity, n * k, float, 1, 0, similarity);
    if (!failed) {
        Py_BEGIN_ALLOW_THREADS
        failed = merge_lists(begin, sources, values, base, k, first, last, number, similarity);
        Py_END_ALLOW_THREADS
    }
    return done(&arrays, failed);
}
