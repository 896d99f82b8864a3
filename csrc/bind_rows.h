/* Python to C: rows of a table, scaled and hashed. */

/* The largest absolute value of each row of (n, d); infinite where a number is not finite. */
static PyObject *py_largest(PyObject *module, PyObject *args) {
    PyObject *o_rows, *o_largest;
    Py_ssize_t n, d, first, last;
    if (!PyArg_ParseTuple(args, "OnnnnO", &o_rows, &n, &d, &first, &last, &o_largest)) return NULL;
    arrays_t arrays = {.num = 0};
    const float *rows;
    double *largest;
    int failed = BORROW(o_rows, n * d, float, 0, 0, rows) || BORROW(o_largest, n, double, 1, 0, largest);
    if (!failed) {
        Py_BEGIN_ALLOW_THREADS
        for (int64_t i = first; i < last; i++) {
            uint32_t most = 0; /* without their sign, floats are ordered as their bits are, NaN last */
            for (int64_t f = 0; f < d; f++) {
                uint32_t bits;
                memcpy(&bits, rows + i * d + f, 4);
                bits &= 0x7fffffffu;
                most = bits > most ? bits : most;
            }
            float value;
            memcpy(&value, &most, 4);
            largest[i] = most >= 0x7f800000u ? INFINITY : value;
        }
        Py_END_ALLOW_THREADS
    }
    return done(&arrays, failed);
}

/* Rows of (n, d) divided by scale (n), and then by their length if unit; rows of zeros stay. In float64, rounded
 * once. */
static PyObject *py_scale_rows(PyObject *module, PyObject *args) {
    PyObject *o_rows, *o_scale, *o_out;
    Py_ssize_t n, d, first, last;
    int unit;
    if (!PyArg_ParseTuple(args, "OnnOinnO", &o_rows, &n, &d, &o_scale, &unit, &first, &last, &o_out)) return NULL;
    arrays_t arrays = {.num = 0};
    const float *rows;
    const double *scale;
    float *out;
    int failed = BORROW(o_rows, n * d, float, 0, 0, rows) || BORROW(o_scale, n, double, 0, 0, scale) ||
                 BORROW(o_out, n * d, float, 1, 0, out);
    if (!failed) {
        Py_BEGIN_ALLOW_THREADS
        for (int64_t i = first; i < last; i++) {
            const float *row = rows + i * d;
            double squares[8] = {0}, length = 0;
            for (int64_t f = 0; f < d; f++) {
                double value = row[f] / scale[i];
                squares[f % 8] += value * value;
            }
            for (int j = 0; j < 8; j++) length += squares[j];
            length = unit && length > 0 ? sqrt(length) : 1;
            for (int64_t f = 0; f < d; f++) out[i * d + f] = (float)(row[f] / scale[i] / length);
        }
        Py_END_ALLOW_THREADS
    }
    return done(&arrays, failed);
}

/* A 64-bit hash of each row of (n, d) float32; equal rows have equal ones, -0 counting as 0. */
#define HASHED 8 /* rows side by side: each step of a hash waits for the one before */

/* The hashes of `count` (a constant) rows. */
static inline __attribute__((always_inline)) void hash_some(const float *rows, int64_t d, int count, uint64_t *hash) {
    uint64_t h[HASHED];
    for (int r = 0; r < count; r++) h[r] = 0x9e3779b97f4a7c15u;
    for (int64_t f = 0; f < d; f++)
        for (int r = 0; r < count; r++) {
            float value = rows[r * d + f] + 0.0f;
            uint32_t bits;
            memcpy(&bits, &value, 4);
            h[r] = (h[r] ^ bits) * 0xff51afd7ed558ccdu;
            h[r] ^= h[r] >> 32;
        }
    for (int r = 0; r < count; r++) hash[r] = h[r];
}

static PyObject *py_hash_rows(PyObject *module, PyObject *args) {
    PyObject *o_rows, *o_hash;
    Py_ssize_t n, d, first, last;
    if (!PyArg_ParseTuple(args, "OnnnnO", &o_rows, &n, &d, &first, &last, &o_hash)) return NULL;
    arrays_t arrays = {.num = 0};
    const float *rows;
    uint64_t *hash;
    int failed = BORROW(o_rows, n * d, float, 0, 0, rows) || BORROW(o_hash, n, uint64_t, 1, 0, hash);
    if (!failed) {
        Py_BEGIN_ALLOW_THREADS
        int64_t i = first;
        for (; i + HASHED <= last; i += HASHED) hash_some(rows + i * d, d, HASHED, hash + i);
        for (; i < last; i++) hash_some(rows + i * d, d, 1, hash + i);
        Py_END_ALLOW_THREADS
    }
    return done(&arrays, failed);
}
