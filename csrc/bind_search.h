/* Python to C: the search, and lists of neighbours turned round. */

/* Points that panels have room for, the spare one included. */
static int64_t padded(int64_t count) { return ((count + PANEL - 1) / PANEL + 1) * PANEL; }

/* The rows of (n, d) that `order` names, its entries first to last, as panels. */
static PyObject *py_pack(PyObject *module, PyObject *args) {
    PyObject *o_rows, *o_order, *o_panels;
    Py_ssize_t n, d, count, first, last;
    if (!PyArg_ParseTuple(args, "OnnOnnnO", &o_rows, &n, &d, &o_order, &count, &first, &last, &o_panels)) return NULL;
    arrays_t arrays = {.num = 0};
    const float *rows;
    const int64_t *order;
    float *panels;
    int failed = BORROW(o_rows, n * d, float, 0, 0, rows) || BORROW(o_order, count, int64_t, 0, 0, order) ||
                 BORROW(o_panels, padded(count) * d, float, 1, 0, panels);
    if (!failed) {
        Py_BEGIN_ALLOW_THREADS
        for (int64_t i = first; i < last; i++) {
            const float *source = rows + order[i] * d;
            float *target = panels + i / PANEL * PANEL * d + i % PANEL;
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
    int failed = BORROW(o_queries, num * d, float, 0, 0, queries) || BORROW(o_panels, padded(count) * d, float, 0, 0, panels) ||
                 BORROW(o_self, num, int32_t, 0, 1, self) || BORROW(o_number, num * k, int32_t, 1, 0, number) ||
                 BORROW(o_similarity, num * k, float, 1, 0, similarity);
    if (!failed) {
        Py_BEGIN_ALLOW_THREADS
        failed = isa->search_rows(queries, num, d, panels, count, self, k, number, similarity);
        Py_END_ALLOW_THREADS
    }
    return done(&arrays, failed);
}

static PyObject *py_search_cells(PyObject *module, PyObject *args) {
    PyObject *o_panels, *o_start, *o_probes, *o_number, *o_similarity;
    Py_ssize_t num, d, num_probes, k, first, last;
    int more;
    if (!PyArg_ParseTuple(args, "OOnnOnninnOO", &o_panels, &o_start, &num, &d, &o_probes, &num_probes, &k,
                          &more, &first, &last, &o_number, &o_similarity))
        return NULL;
    arrays_t arrays = {.num = 0};
    const float *panels = NULL;
    const int64_t *start = NULL;
    const int32_t *probes;
    int32_t *number;
    float *similarity;
    int failed = BORROW(o_start, num + 1, int64_t, 0, 0, start);
    failed = failed || BORROW(o_panels, padded(start[num]) * d, float, 0, 0, panels) ||
             BORROW(o_probes, start[num] * num_probes, int32_t, 0, 0, probes) ||
             BORROW(o_number, start[num] * k, int32_t, 1, 0, number) ||
             BORROW(o_similarity, start[num] * k, float, 1, 0, similarity);
    if (!failed) {
        cells_t cells = {panels, start, num, d};
        Py_BEGIN_ALLOW_THREADS
        failed = isa->search_cells(&cells, probes, num_probes, k, more, first, last, number, similarity);
        Py_END_ALLOW_THREADS
    }
    return done(&arrays, failed);
}

static PyObject *py_probe_before(PyObject *module, PyObject *args) {
    PyObject *o_pointers, *o_columns, *o_node, *o_cell, *o_probes;
    Py_ssize_t nodes, n, num_cells, spread, further, first, last, most;
    if (!PyArg_ParseTuple(args, "OOnOnOnnnnnnO", &o_pointers, &o_columns, &nodes, &o_node, &n, &o_cell, &num_cells,
                          &spread, &further, &first, &last, &most, &o_probes))
        return NULL;
    arrays_t arrays = {.num = 0};
    before_t before = {NULL, NULL, NULL, NULL};
    int32_t *probes;
    int failed = BORROW(o_pointers, nodes + 1, int32_t, 0, 0, before.pointers);
    failed = failed || BORROW(o_columns, before.pointers[nodes], int32_t, 0, 0, before.columns) ||
             BORROW(o_node, n, int32_t, 0, 0, before.node) || BORROW(o_cell, nodes, int32_t, 0, 0, before.cell) ||
             BORROW(o_probes, n * most, int32_t, 1, 0, probes);
    if (!failed) {
        Py_BEGIN_ALLOW_THREADS
        failed = probe_before(&before, num_cells, spread, further, first, last, most, probes);
        Py_END_ALLOW_THREADS
    }
    return done(&arrays, failed);
}

static PyObject *py_count_backward(PyObject *module, PyObject *args) {
    PyObject *o_numbers, *o_similarity, *o_count;
    Py_ssize_t n, k, first, last;
    int missing;
    if (!PyArg_ParseTuple(args, "OOinnnnO", &o_numbers, &o_similarity, &missing, &n, &k, &first, &last, &o_count))
        return NULL;
    arrays_t arrays = {.num = 0};
    const int32_t *numbers;
    const float *similarity;
    int32_t *count;
    int failed = BORROW(o_numbers, n * k, int32_t, 0, 0, numbers) ||
                 BORROW(o_similarity, n * k, float, 0, 0, similarity) || BORROW(o_count, n, int32_t, 1, 0, count);
    if (!failed) {
        Py_BEGIN_ALLOW_THREADS
        count_backward(numbers, similarity, missing, n, k, (int32_t)first, (int32_t)last, count);
        Py_END_ALLOW_THREADS
    }
    return done(&arrays, failed);
}

static PyObject *py_fill_backward(PyObject *module, PyObject *args) {
    PyObject *o_numbers, *o_similarity, *o_next, *o_sources, *o_values;
    Py_ssize_t n, k, first, last, entries;
    int missing;
    if (!PyArg_ParseTuple(args, "OOinnnnOnOO", &o_numbers, &o_similarity, &missing, &n, &k, &first, &last, &o_next,
                          &entries, &o_sources, &o_values))
        return NULL;
    arrays_t arrays = {.num = 0};
    const int32_t *numbers;
    const float *similarity;
    int64_t *next;
    int32_t *sources;
    float *values;
    int failed = BORROW(o_numbers, n * k, int32_t, 0, 0, numbers) ||
                 BORROW(o_similarity, n * k, float, 0, 0, similarity) || BORROW(o_next, n, int64_t, 1, 0, next) ||
                 BORROW(o_sources, entries, int32_t, 1, 0, sources) || BORROW(o_values, entries, float, 1, 0, values);
    if (!failed) {
        Py_BEGIN_ALLOW_THREADS
        fill_backward(numbers, similarity, missing, n, k, (int32_t)first, (int32_t)last, next, sources, values);
        Py_END_ALLOW_THREADS
    }
    return done(&arrays, failed);
}

static PyObject *py_merge_lists(PyObject *module, PyObject *args) {
    PyObject *o_begin, *o_sources, *o_values, *o_number, *o_similarity;
    Py_ssize_t n, k, first, last;
    if (!PyArg_ParseTuple(args, "OOOnnnnOO", &o_begin, &o_sources, &o_values, &n, &k, &first, &last, &o_number,
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
        failed = merge_lists(begin, sources, values, k, first, last, number, similarity);
        Py_END_ALLOW_THREADS
    }
    return done(&arrays, failed);
}
