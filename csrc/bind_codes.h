/* Python to C: the first stage of a search in two. */

/* Borrow the points of codes; 1 with an error set where a buffer is too small or the width is not a multiple of 4. */
static int borrow_codes(arrays_t *arrays, PyObject *o_panels, PyObject *o_bias, int64_t count, codes_t *codes) {
    if (codes->width % 4 || codes->width < 4) {
        PyErr_SetString(PyExc_ValueError, "codes must have a multiple of 4 numbers");
        return 1;
    }
    return BORROW_IN(arrays, o_panels, padded(count) * codes->width, uint8_t, 0, 0, codes->panels) ||
           BORROW_IN(arrays, o_bias, padded(count), int32_t, 0, 0, codes->bias);
}

/* codes: (n, width) of queries. The points that they are, entries first to last of `order`, half as fine. */
static PyObject *py_pack_codes(PyObject *module, PyObject *args) {
    PyObject *o_codes, *o_panels;
    Py_ssize_t n, width, first, last;
    if (!PyArg_ParseTuple(args, "OnnnnO", &o_codes, &n, &width, &first, &last, &o_panels)) return NULL;
    arrays_t arrays = {.num = 0};
    const int8_t *codes;
    uint8_t *panels;
    int failed = BORROW(o_codes, n * width, int8_t, 0, 0, codes) ||
                 BORROW(o_panels, padded(n) * width, uint8_t, 1, 0, panels);
    if (!failed) {
        Py_BEGIN_ALLOW_THREADS
        for (int64_t i = first; i < last; i++) {
            uint8_t *target = panels + i / PANEL * PANEL * width + i % PANEL * 4;
            for (int64_t f = 0; f < width; f++)
                target[f / 4 * 4 * PANEL + f % 4] = (uint8_t)(POINT_ZERO + ((codes[i * width + f] + 1) >> 1));
        }
        Py_END_ALLOW_THREADS
    }
    return done(&arrays, failed);
}

static PyObject *py_search_codes(PyObject *module, PyObject *args) {
    PyObject *o_queries, *o_panels, *o_bias, *o_self, *o_number;
    Py_ssize_t num, width, count, k;
    if (!PyArg_ParseTuple(args, "OnnOOnOnO", &o_queries, &num, &width, &o_panels, &o_bias, &count, &o_self, &k,
                          &o_number))
        return NULL;
    arrays_t arrays = {.num = 0};
    codes_t codes = {NULL, NULL, width};
    const int8_t *queries;
    const int32_t *self;
    int32_t *number;
    int failed = BORROW(o_queries, num * width, int8_t, 0, 0, queries) ||
                 borrow_codes(&arrays, o_panels, o_bias, count, &codes) || BORROW(o_self, num, int32_t, 0, 1, self) ||
                 BORROW(o_number, num * k, int32_t, 1, 0, number);
    if (!failed) {
        Py_BEGIN_ALLOW_THREADS
        failed = isa->search_codes(queries, num, &codes, count, self, k, number);
        Py_END_ALLOW_THREADS
    }
    return done(&arrays, failed);
}

/* As search_clusters, all clusters being in the panels. queries: (points, width). */
static PyObject *py_search_coded_clusters(PyObject *module, PyObject *args) {
    PyObject *o_panels, *o_bias, *o_queries, *o_start, *o_rows, *o_members, *o_probes, *o_number, *o_similarity;
    Py_ssize_t num, width, n, d, base, num_probes, k, most, first, last;
    int more;
    if (!PyArg_ParseTuple(args, "OOOnOnOnnOnOnnninnOO", &o_panels, &o_bias, &o_queries, &width, &o_start, &num,
                          &o_rows, &n, &d, &o_members, &base, &o_probes, &num_probes, &k, &most, &more, &first, &last,
                          &o_number, &o_similarity))
        return NULL;
    arrays_t arrays = {.num = 0};
    clusters_t clusters = {NULL, NULL, NULL, num, d};
    codes_t codes = {NULL, NULL, width};
    table_t table = {NULL, NULL, n, d, 0};
    const int8_t *queries;
    const int32_t *probes;
    int32_t *number;
    float *similarity;
    int failed = BORROW(o_start, num + 1, int64_t, 0, 0, clusters.start);
    const int64_t count = failed ? 0 : clusters.start[num], held = failed ? 0 : clusters.start[last] - base;
    failed = failed || borrow_codes(&arrays, o_panels, o_bias, count, &codes) ||
             BORROW(o_queries, held * width, int8_t, 0, 0, queries) || BORROW(o_rows, n * d, float, 0, 0, table.rows) ||
             BORROW(o_members, count, int64_t, 0, 0, table.members) ||
             BORROW(o_probes, held * num_probes, int32_t, 0, 0, probes) ||
             BORROW(o_number, held * k, int32_t, 1, 0, number) ||
             BORROW(o_similarity, held * k, float, 1, 0, similarity) || !are_rows(table.members, count, n);
    if (!failed) {
        Py_BEGIN_ALLOW_THREADS
        failed = isa->search_clusters(&clusters, &codes, queries, &table, base, probes, num_probes, k,
                                      most < k ? k : most, more, first, last, number, similarity);
        Py_END_ALLOW_THREADS
    }
    return done(&arrays, failed);
}

/* out: (num, count) sums of the products of queries and points. */
static PyObject *py_multiply_codes(PyObject *module, PyObject *args) {
    PyObject *o_queries, *o_panels, *o_bias, *o_out;
    Py_ssize_t num, width, count;
    if (!PyArg_ParseTuple(args, "OnnOOnO", &o_queries, &num, &width, &o_panels, &o_bias, &count, &o_out)) return NULL;
    arrays_t arrays = {.num = 0};
    codes_t codes = {NULL, NULL, width};
    const int8_t *queries;
    int32_t *out;
    int failed = BORROW(o_queries, num * width, int8_t, 0, 0, queries) ||
                 borrow_codes(&arrays, o_panels, o_bias, count, &codes) ||
                 BORROW(o_out, num * count, int32_t, 1, 0, out);
    if (!failed) {
        Py_BEGIN_ALLOW_THREADS
        failed = isa->multiply_all_codes(queries, num, &codes, count, out);
        Py_END_ALLOW_THREADS
    }
    return done(&arrays, failed);
}

/* rows: (n, d). members: (count). basis: (outputs) points of width numbers, d rounded up. first, last: members. */
static PyObject *py_encode_rows(PyObject *module, PyObject *args) {
    PyObject *o_rows, *o_members, *o_mean, *o_panels, *o_bias, *o_codes, *o_along;
    Py_ssize_t n, d, count, outputs, first, last;
    double factor;
    if (!PyArg_ParseTuple(args, "OnnOnOOOndnnOO", &o_rows, &n, &d, &o_members, &count, &o_mean, &o_panels, &o_bias,
                          &outputs, &factor, &first, &last, &o_codes, &o_along))
        return NULL;
    arrays_t arrays = {.num = 0};
    codes_t basis = {NULL, NULL, (d + 3) / 4 * 4};
    table_t table = {NULL, NULL, n, d, 0};
    const float *mean;
    int8_t *codes;
    float *along;
    int failed = BORROW(o_rows, n * d, float, 0, 0, table.rows) ||
                 BORROW(o_members, count, int64_t, 0, 0, table.members) || BORROW(o_mean, d, float, 0, 0, mean) ||
                 borrow_codes(&arrays, o_panels, o_bias, outputs, &basis) ||
                 BORROW(o_codes, count * outputs, int8_t, 1, 0, codes) || BORROW(o_along, count, float, 1, 0, along) ||
                 !are_rows(table.members, count, n);
    if (!failed) {
        Py_BEGIN_ALLOW_THREADS
        failed = isa->encode_rows(&table, mean, &basis, outputs, factor, first, last, codes, along);
        Py_END_ALLOW_THREADS
    }
    return done(&arrays, failed);
}

/* a: (n, m), b: (m, w) float32. out: (n, w) float64, rows first to last. */
static PyObject *py_multiply_matrices(PyObject *module, PyObject *args) {
    PyObject *o_a, *o_b, *o_out;
    Py_ssize_t n, m, w, first, last;
    if (!PyArg_ParseTuple(args, "OOnnnnnO", &o_a, &o_b, &n, &m, &w, &first, &last, &o_out)) return NULL;
    arrays_t arrays = {.num = 0};
    const float *a, *b;
    double *out;
    int failed = BORROW(o_a, n * m, float, 0, 0, a) || BORROW(o_b, m * w, float, 0, 0, b) ||
                 BORROW(o_out, n * w, double, 1, 0, out);
    if (!failed) {
        Py_BEGIN_ALLOW_THREADS
        isa->multiply_matrices(a, b, m, w, first, last, out);
        Py_END_ALLOW_THREADS
    }
    return done(&arrays, failed);
}

static PyObject *py_invert_triangle(PyObject *module, PyObject *args) {
    PyObject *o_gram, *o_inverse;
    Py_ssize_t w;
    if (!PyArg_ParseTuple(args, "OnO", &o_gram, &w, &o_inverse)) return NULL;
    arrays_t arrays = {.num = 0};
    double *gram, *inverse;
    int failed = BORROW(o_gram, w * w, double, 1, 0, gram) || BORROW(o_inverse, w * w, double, 1, 0, inverse);
    if (!failed) {
        Py_BEGIN_ALLOW_THREADS
        invert_triangle(gram, w, inverse);
        Py_END_ALLOW_THREADS
    }
    return done(&arrays, failed);
}
