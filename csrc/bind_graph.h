/* Python to C: the affinity matrix. */

static int borrow_lists(arrays_t *arrays, PyObject *const *objects, int64_t n, lists_t *lists) {
    int failed = BORROW_IN(arrays, objects[0], n * lists->k, int32_t, 0, 0, lists->numbers) ||
                 BORROW_IN(arrays, objects[1], n * lists->k, float, 0, 0, lists->similarity) ||
                 BORROW_IN(arrays, objects[2], n + 1, int64_t, 0, 0, lists->begin);
    return failed || BORROW_IN(arrays, objects[3], lists->begin[n], int32_t, 0, 0, lists->sources) ||
           BORROW_IN(arrays, objects[4], lists->begin[n], float, 0, 0, lists->values);
}

/* The lists of n rows, which may be a part of all, and who lists them; first, last: places in these. */
static PyObject *py_measure_rows(PyObject *module, PyObject *args) {
    PyObject *objects[5], *o_entries, *o_degree;
    Py_ssize_t n, k, first, last;
    lists_t lists;
    if (!PyArg_ParseTuple(args, "OOOOOnnddinnOO", &objects[0], &objects[1], &objects[2], &objects[3], &objects[4], &n,
                          &k, &lists.power.gamma, &lists.power.largest, &lists.power.clip, &first, &last, &o_entries,
                          &o_degree))
        return NULL;
    lists.k = k;
    arrays_t arrays = {.num = 0};
    int64_t *entries;
    double *degree;
    int failed = borrow_lists(&arrays, objects, n, &lists) || BORROW(o_entries, n, int64_t, 1, 0, entries) ||
                 BORROW(o_degree, n, double, 1, 0, degree);
    if (!failed) {
        Py_BEGIN_ALLOW_THREADS
        failed = measure_rows(&lists, first, last, entries, degree);
        Py_END_ALLOW_THREADS
    }
    return done(&arrays, failed);
}

/* As measure_rows, of rows that are numbered from `base` on; scale: of all rows, pointers: (n + 1) of these. */
static PyObject *py_write_rows(PyObject *module, PyObject *args) {
    PyObject *objects[5], *o_scale, *o_pointers, *o_columns, *o_weights;
    Py_ssize_t n, k, base, first, last;
    lists_t lists;
    if (!PyArg_ParseTuple(args, "OOOOOnnddinnnOOOO", &objects[0], &objects[1], &objects[2], &objects[3], &objects[4],
                          &n, &k, &lists.power.gamma, &lists.power.largest, &lists.power.clip, &base, &first, &last,
                          &o_scale, &o_pointers, &o_columns, &o_weights))
        return NULL;
    lists.k = k;
    arrays_t arrays = {.num = 0};
    const double *scale;
    const int32_t *pointers = NULL;
    int32_t *columns;
    float *weights;
    int failed = borrow_lists(&arrays, objects, n, &lists) || BORROW(o_scale, base + n, double, 0, 0, scale) ||
                 BORROW(o_pointers, n + 1, int32_t, 0, 0, pointers);
    failed = failed || BORROW(o_columns, pointers[n], int32_t, 1, 0, columns) ||
             BORROW(o_weights, pointers[n], float, 1, 0, weights);
    if (!failed) {
        Py_BEGIN_ALLOW_THREADS
        failed = write_rows(&lists, base, first, last, scale, pointers, columns, weights);
        Py_END_ALLOW_THREADS
    }
    return done(&arrays, failed);
}

static int borrow_matrix(arrays_t *arrays, PyObject *const *objects, int64_t n, csr_t *w) {
    int failed = BORROW_IN(arrays, objects[0], n + 1, int32_t, 0, 0, w->pointers);
    return failed || BORROW_IN(arrays, objects[1], w->pointers[n], int32_t, 0, 0, w->columns) ||
           BORROW_IN(arrays, objects[2], w->pointers[n], float, 0, 0, w->weights);
}

/* component: (n) the smallest row number of each row's connected component. */
static PyObject *py_components(PyObject *module, PyObject *args) {
    PyObject *o_pointers, *o_columns, *o_component;
    Py_ssize_t n;
    if (!PyArg_ParseTuple(args, "OOnO", &o_pointers, &o_columns, &n, &o_component)) return NULL;
    arrays_t arrays = {.num = 0};
    const int32_t *pointers = NULL, *columns;
    int32_t *component;
    int failed = BORROW(o_pointers, n + 1, int32_t, 0, 0, pointers);
    failed = failed || BORROW(o_columns, pointers[n], int32_t, 0, 0, columns) ||
             BORROW(o_component, n, int32_t, 1, 0, component);
    if (!failed) {
        Py_BEGIN_ALLOW_THREADS
        components(pointers, columns, n, component);
        Py_END_ALLOW_THREADS
    }
    return done(&arrays, failed);
}

static PyObject *py_coarsen(PyObject *module, PyObject *args) {
    PyObject *objects[3], *o_shape, *o_groups, *o_group_of, *o_coarse;
    Py_ssize_t n, num, first, last;
    if (!PyArg_ParseTuple(args, "OOOnOOOnnnO", &objects[0], &objects[1], &objects[2], &n, &o_shape, &o_groups,
                          &o_group_of, &num, &first, &last, &o_coarse))
        return NULL;
    arrays_t arrays = {.num = 0};
    csr_t w;
    const float *shape;
    const int64_t *groups;
    const int32_t *group_of;
    double *coarse;
    int failed = borrow_matrix(&arrays, objects, n, &w) || BORROW(o_shape, n, float, 0, 0, shape) ||
                 BORROW(o_groups, num + 1, int64_t, 0, 0, groups) || BORROW(o_group_of, n, int32_t, 0, 0, group_of) ||
                 BORROW(o_coarse, num * num, double, 1, 0, coarse);
    if (!failed) {
        Py_BEGIN_ALLOW_THREADS
        coarsen(&w, shape, groups, group_of, num, first, last, coarse);
        Py_END_ALLOW_THREADS
    }
    return done(&arrays, failed);
}
