/* Python to C: the passes of the solver, over rows `base` to `base + n`.
 *
 * Rows are numbered as W's columns are. `vectors` and `direction` hold all rows that the columns number; the other
 * arrays hold n rows, those from `base` on (0 and all rows, where one process has the whole). `groups` is in the same
 * numbering, and `dots`, `coarse` and `lift` have a row for each of its groups. */

/* Where row 0 of an array would lie that holds the rows from `base` on. It is never looked at. */
#define FROM_ROW(array, items) ((void *)((uintptr_t)(array) - (uintptr_t)((items) * (Py_ssize_t)sizeof *(array))))

/* Whether the groups first to last are some of num_groups, and their rows among `base` to `base + n`. */
static int check_groups(const int64_t *groups, int64_t num_groups, int64_t first, int64_t last, int64_t base,
                        int64_t n) {
    int within = 0 <= first && first <= last && last <= num_groups;
    if (within && (first == last || (base <= groups[first] && groups[last] <= base + n))) return 0;
    PyErr_Format(PyExc_ValueError, "groups %lld to %lld of %lld are not among the %lld rows from %lld on",
                 (long long)first, (long long)last, (long long)num_groups, (long long)n, (long long)base);
    return 1;
}

/* Vectors in float32 or, where the items have two bytes, in bfloat16. */
static int borrow_rows(arrays_t *arrays, PyObject *object, int64_t items, int writable, rows_t *rows) {
    Py_buffer view;
    if (PyObject_GetBuffer(object, &view, PyBUF_C_CONTIGUOUS)) return -1;
    int narrow = view.itemsize == sizeof(uint16_t);
    PyBuffer_Release(&view);
    void *found;
    *rows = (rows_t){NULL, NULL};
    int64_t size = narrow ? sizeof(uint16_t) : sizeof(float);
    if (borrow(arrays, object, "vectors", items, size, writable, 0, &found)) return -1;
    if (narrow) rows->narrow = found;
    else rows->wide = found;
    return 0;
}

static PyObject *py_product(PyObject *module, PyObject *args) {
    PyObject *objects[3], *o_vectors, *o_image, *o_groups, *o_dots;
    Py_ssize_t n, base, num_vectors, width, num_groups, first, last;
    double alpha;
    if (!PyArg_ParseTuple(args, "OOOnndOnOnOnnnO", &objects[0], &objects[1], &objects[2], &n, &base, &alpha, &o_vectors,
                          &num_vectors, &o_image, &width, &o_groups, &num_groups, &first, &last, &o_dots))
        return NULL;
    arrays_t arrays = {.num = 0};
    csr_t w;
    rows_t vectors;
    const int64_t *groups;
    float *image;
    double *dots;
    Py_ssize_t held = num_vectors > base + n ? num_vectors : base + n; /* own rows are looked up too */
    int failed = borrow_matrix(&arrays, objects, n, &w) || borrow_rows(&arrays, o_vectors, held * width, 0, &vectors) ||
                 BORROW(o_image, n * width, float, 1, 0, image) ||
                 BORROW(o_groups, num_groups + 1, int64_t, 0, 0, groups) ||
                 BORROW(o_dots, num_groups * width, double, 1, 0, dots) ||
                 check_groups(groups, num_groups, first, last, base, n);
    if (!failed) {
        w.pointers = FROM_ROW(w.pointers, base);
        image = FROM_ROW(image, base * width);
        Py_BEGIN_ALLOW_THREADS
        isa->product[width / 8 - 1](&w, (float)alpha, vectors, image, groups, first, last, dots);
        Py_END_ALLOW_THREADS
    }
    return done(&arrays, failed);
}

static PyObject *py_advance(PyObject *module, PyObject *args) {
    PyObject *o_x, *o_residual, *o_direction, *o_image, *o_step, *o_shape, *o_groups, *o_dots, *o_coarse;
    Py_ssize_t n, base, width, num_groups, first, last;
    if (!PyArg_ParseTuple(args, "OOOOOOnnnOnnnOO", &o_x, &o_residual, &o_direction, &o_image, &o_step, &o_shape, &n,
                          &base, &width, &o_groups, &num_groups, &first, &last, &o_dots, &o_coarse))
        return NULL;
    arrays_t arrays = {.num = 0};
    float *x, *residual;
    rows_t direction;
    const float *image, *step, *shape;
    const int64_t *groups;
    double *dots, *coarse;
    int failed = BORROW(o_x, n * width, float, 1, 0, x) || BORROW(o_residual, n * width, float, 1, 0, residual) ||
                 borrow_rows(&arrays, o_direction, (base + n) * width, 0, &direction) ||
                 BORROW(o_image, n * width, float, 0, 0, image) || BORROW(o_step, width, float, 0, 0, step) ||
                 BORROW(o_shape, n, float, 0, 1, shape) || BORROW(o_groups, num_groups + 1, int64_t, 0, 0, groups) ||
                 BORROW(o_dots, num_groups * width, double, 1, 0, dots) ||
                 BORROW(o_coarse, num_groups * width, double, 1, o_shape == Py_None, coarse) ||
                 check_groups(groups, num_groups, first, last, base, n);
    if (!failed) {
        x = FROM_ROW(x, base * width), residual = FROM_ROW(residual, base * width);
        image = FROM_ROW(image, base * width);
        if (shape) shape = FROM_ROW(shape, base);
        Py_BEGIN_ALLOW_THREADS
        isa->advance[width / 8 - 1](x, residual, direction, image, step, shape, groups, first, last, dots, coarse);
        Py_END_ALLOW_THREADS
    }
    return done(&arrays, failed);
}

static PyObject *py_turn(PyObject *module, PyObject *args) {
    PyObject *o_direction, *o_residual, *o_ratio, *o_shape, *o_lift, *o_groups;
    Py_ssize_t n, base, width, num_groups, first, last;
    if (!PyArg_ParseTuple(args, "OOOOOnnnOnnn", &o_direction, &o_residual, &o_ratio, &o_shape, &o_lift, &n, &base,
                          &width, &o_groups, &num_groups, &first, &last))
        return NULL;
    arrays_t arrays = {.num = 0};
    rows_t direction;
    const float *residual, *ratio, *shape, *lift;
    const int64_t *groups;
    int failed = borrow_rows(&arrays, o_direction, (base + n) * width, 1, &direction) ||
                 BORROW(o_residual, n * width, float, 0, 0, residual) || BORROW(o_ratio, width, float, 0, 0, ratio) ||
                 BORROW(o_shape, n, float, 0, 1, shape) ||
                 BORROW(o_lift, num_groups * width, float, 0, o_shape == Py_None, lift) ||
                 BORROW(o_groups, num_groups + 1, int64_t, 0, 0, groups) ||
                 check_groups(groups, num_groups, first, last, base, n);
    if (!failed) {
        residual = FROM_ROW(residual, base * width);
        if (shape) shape = FROM_ROW(shape, base);
        Py_BEGIN_ALLOW_THREADS
        isa->turn[width / 8 - 1](direction, residual, ratio, shape, lift, groups, first, last);
        Py_END_ALLOW_THREADS
    }
    return done(&arrays, failed);
}

static PyObject *py_lift(PyObject *module, PyObject *args) {
    PyObject *o_inverse, *o_coarse, *o_lift;
    Py_ssize_t num, width, first, last;
    if (!PyArg_ParseTuple(args, "OOnnnnO", &o_inverse, &o_coarse, &num, &width, &first, &last, &o_lift)) return NULL;
    arrays_t arrays = {.num = 0};
    const float *inverse, *coarse;
    float *lift;
    int failed = BORROW(o_inverse, num * num, float, 0, 0, inverse) ||
                 BORROW(o_coarse, num * width, float, 0, 0, coarse) || BORROW(o_lift, num * width, float, 1, 0, lift);
    if (!failed) {
        Py_BEGIN_ALLOW_THREADS
        isa->lift[width / 8 - 1](inverse, coarse, num, first, last, lift);
        Py_END_ALLOW_THREADS
    }
    return done(&arrays, failed);
}
