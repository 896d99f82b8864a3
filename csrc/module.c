/* fewlabels.graph._kernels: the inner loops of the graph core.
 *
 * Every function works on a range of cells, groups or rows, without the interpreter lock, so that Python's threads can
 * share the work. Array arguments are C-contiguous buffers; their sizes are checked here, their types by
 * fewlabels/graph/compiled.py, the only caller. */

#define Py_LIMITED_API 0x030b0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdlib.h>
#include <string.h>

#include "cells.h"
#include "sparse.h"
#include "topk.h"

typedef struct {
    int (*search_rows)(const float *, int64_t, int64_t, const float *, int64_t, const int32_t *, int64_t, int32_t *,
                       float *);
    int (*search_cells)(const cells_t *, const int32_t *, int64_t, int64_t, int, int64_t, int64_t, int32_t *, float *);
    void (*product[4])(const csr_t *, float, const float *, float *, const int64_t *, int64_t, int64_t, double *);
    void (*advance[4])(float *, float *, const float *, const float *, const float *, const float *, const int64_t *,
                       int64_t, int64_t, double *, double *);
    void (*turn[4])(float *, const float *, const float *, const float *, const float *, const int64_t *, int64_t,
                    int64_t);
    void (*lift[4])(const float *, const float *, int64_t, int64_t, int64_t, float *);
} isa_t;

#define NAME(x) x##_plain
#define LANES 8
#if defined(__aarch64__)
#define ROWS 6
#else
#define ROWS 2
#endif
static inline uint32_t mask_plain(const float *values, float threshold) {
    uint32_t mask = 0;
    for (int i = 0; i < 8; i++) mask |= (uint32_t)(values[i] >= threshold) << i;
    return mask;
}
#define MASK(v, threshold) mask_plain((const float *)&(v), threshold)
#include "isa.h"
#undef NAME
#undef LANES
#undef ROWS
#undef MASK

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define FEWLABELS_X86
#include <immintrin.h>

#pragma GCC push_options
#pragma GCC target("avx2,fma")
#define NAME(x) x##_avx2
#define LANES 8
#define ROWS 6
#define MASK(v, threshold) \
    (uint32_t) _mm256_movemask_ps(_mm256_cmp_ps((__m256)(v), _mm256_set1_ps(threshold), _CMP_GE_OQ))
#include "isa.h"
#undef NAME
#undef LANES
#undef ROWS
#undef MASK
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx2,fma,avx512f,avx512vl,avx512dq,avx512bw,prefer-vector-width=512")
#define NAME(x) x##_avx512
#define LANES 16
#define ROWS 12
#define MASK(v, threshold) (uint32_t) _mm512_cmp_ps_mask((__m512)(v), _mm512_set1_ps(threshold), _CMP_GE_OQ)
#include "isa.h"
#undef NAME
#undef LANES
#undef ROWS
#undef MASK
#pragma GCC pop_options
#endif

static const isa_t *isa = &isa_plain;
static const char *isa_name = "plain";

static int choose_isa(const char *wanted) {
    if (!strcmp(wanted, "plain")) {
        isa = &isa_plain, isa_name = "plain";
        return 0;
    }
#ifdef FEWLABELS_X86
    __builtin_cpu_init();
    if (!strcmp(wanted, "avx2") && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        isa = &isa_avx2, isa_name = "avx2";
        return 0;
    }
    if (!strcmp(wanted, "avx512") && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw")) {
        isa = &isa_avx512, isa_name = "avx512";
        return 0;
    }
#endif
    return -1;
}

/* ---- arguments ---- */

#define MOST_ARRAYS 12

typedef struct {
    Py_buffer view[MOST_ARRAYS];
    int num;
} arrays_t;

static void release(arrays_t *arrays) {
    while (arrays->num) PyBuffer_Release(&arrays->view[--arrays->num]);
}

/* The memory of an array of at least `items` items of `size` bytes; NULL for None, if allowed. */
static int borrow(arrays_t *arrays, PyObject *object, const char *name, int64_t items, int64_t size, int writable,
                  int optional, void *out) {
    *(void **)out = NULL;
    if (optional && object == Py_None) return 0;
    Py_buffer *view = &arrays->view[arrays->num];
    if (PyObject_GetBuffer(object, view, PyBUF_C_CONTIGUOUS | (writable ? PyBUF_WRITABLE : 0))) return -1;
    arrays->num++;
    if (view->itemsize != size || view->len < items * size) {
        PyErr_Format(PyExc_ValueError, "%s: %zd bytes in items of %zd, expected %lld items of %lld bytes", name,
                     view->len, view->itemsize, (long long)items, (long long)size);
        return -1;
    }
    *(void **)out = view->buf;
    return 0;
}

#define BORROW_IN(arrays, object, items, type, writable, optional, out) \
    borrow(arrays, object, #out, items, sizeof(type), writable, optional, &out)
#define BORROW(object, items, type, writable, optional, out) \
    BORROW_IN(&arrays, object, items, type, writable, optional, out)

static PyObject *done(arrays_t *arrays, int failed) {
    release(arrays);
    if (failed > 0) return NULL;
    if (failed < 0) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

/* ---- functions ---- */

/* Points that panels have room for, the spare one included. */
static int64_t padded(int64_t count) { return ((count + PANEL - 1) / PANEL + 1) * PANEL; }

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

/* Rows of (n, d) divided by scale (n), and then by their length if unit; rows of zeros stay. In float64, rounded once. */
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
        for (int64_t i = first; i < last; i++) {
            uint64_t h = 0x9e3779b97f4a7c15u;
            for (int64_t f = 0; f < d; f++) {
                float value = rows[i * d + f] + 0.0f;
                uint32_t bits;
                memcpy(&bits, &value, 4);
                h = (h ^ bits) * 0xff51afd7ed558ccdu;
                h ^= h >> 32;
            }
            hash[i] = h;
        }
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

static int borrow_lists(arrays_t *arrays, PyObject *const *objects, int64_t n, lists_t *lists) {
    int failed = BORROW_IN(arrays, objects[0], n * lists->k, int32_t, 0, 0, lists->numbers) ||
                 BORROW_IN(arrays, objects[1], n * lists->k, float, 0, 0, lists->similarity) ||
                 BORROW_IN(arrays, objects[2], n + 1, int64_t, 0, 0, lists->begin);
    return failed || BORROW_IN(arrays, objects[3], lists->begin[n], int32_t, 0, 0, lists->sources) ||
           BORROW_IN(arrays, objects[4], lists->begin[n], float, 0, 0, lists->values);
}

static PyObject *py_measure_rows(PyObject *module, PyObject *args) {
    PyObject *objects[5], *o_entries, *o_degree;
    Py_ssize_t n, k, first, last;
    lists_t lists;
    if (!PyArg_ParseTuple(args, "OOOOOnnddinnOO", &objects[0], &objects[1], &objects[2], &objects[3], &objects[4], &n, &k,
                          &lists.power.gamma, &lists.power.largest, &lists.power.clip, &first, &last, &o_entries,
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

static PyObject *py_write_rows(PyObject *module, PyObject *args) {
    PyObject *objects[5], *o_scale, *o_pointers, *o_columns, *o_weights;
    Py_ssize_t n, k, first, last;
    lists_t lists;
    if (!PyArg_ParseTuple(args, "OOOOOnnddinnOOOO", &objects[0], &objects[1], &objects[2], &objects[3], &objects[4], &n,
                          &k, &lists.power.gamma, &lists.power.largest, &lists.power.clip, &first, &last, &o_scale,
                          &o_pointers, &o_columns, &o_weights))
        return NULL;
    lists.k = k;
    arrays_t arrays = {.num = 0};
    const double *scale;
    const int32_t *pointers = NULL;
    int32_t *columns;
    float *weights;
    int failed = borrow_lists(&arrays, objects, n, &lists) || BORROW(o_scale, n, double, 0, 0, scale) ||
                 BORROW(o_pointers, n + 1, int32_t, 0, 0, pointers);
    failed = failed || BORROW(o_columns, pointers[n], int32_t, 1, 0, columns) ||
             BORROW(o_weights, pointers[n], float, 1, 0, weights);
    if (!failed) {
        Py_BEGIN_ALLOW_THREADS
        failed = write_rows(&lists, first, last, scale, pointers, columns, weights);
        Py_END_ALLOW_THREADS
    }
    return done(&arrays, failed);
}

static int borrow_matrix(arrays_t *arrays, PyObject *const *objects, int64_t n, csr_t *w) {
    int failed = BORROW_IN(arrays, objects[0], n + 1, int32_t, 0, 0, w->pointers);
    return failed || BORROW_IN(arrays, objects[1], w->pointers[n], int32_t, 0, 0, w->columns) ||
           BORROW_IN(arrays, objects[2], w->pointers[n], float, 0, 0, w->weights);
}

static PyObject *py_product(PyObject *module, PyObject *args) {
    PyObject *objects[3], *o_direction, *o_image, *o_groups, *o_dots;
    Py_ssize_t n, width, num_groups, first, last;
    double alpha;
    if (!PyArg_ParseTuple(args, "OOOndOOnOnnnO", &objects[0], &objects[1], &objects[2], &n, &alpha, &o_direction,
                          &o_image, &width, &o_groups, &num_groups, &first, &last, &o_dots))
        return NULL;
    arrays_t arrays = {.num = 0};
    csr_t w;
    const float *direction;
    const int64_t *groups;
    float *image;
    double *dots;
    int failed = borrow_matrix(&arrays, objects, n, &w) || BORROW(o_direction, n * width, float, 0, 0, direction) ||
                 BORROW(o_image, n * width, float, 1, 0, image) ||
                 BORROW(o_groups, num_groups + 1, int64_t, 0, 0, groups) ||
                 BORROW(o_dots, num_groups * width, double, 1, 0, dots);
    if (!failed) {
        Py_BEGIN_ALLOW_THREADS
        isa->product[width / 8 - 1](&w, (float)alpha, direction, image, groups, first, last, dots);
        Py_END_ALLOW_THREADS
    }
    return done(&arrays, failed);
}

static PyObject *py_advance(PyObject *module, PyObject *args) {
    PyObject *o_x, *o_residual, *o_direction, *o_image, *o_step, *o_shape, *o_groups, *o_dots, *o_coarse;
    Py_ssize_t n, width, num_groups, first, last;
    if (!PyArg_ParseTuple(args, "OOOOOOnnOnnnOO", &o_x, &o_residual, &o_direction, &o_image, &o_step, &o_shape, &n,
                          &width, &o_groups, &num_groups, &first, &last, &o_dots, &o_coarse))
        return NULL;
    arrays_t arrays = {.num = 0};
    float *x, *residual;
    const float *direction, *image, *step, *shape;
    const int64_t *groups;
    double *dots, *coarse;
    int failed = BORROW(o_x, n * width, float, 1, 0, x) || BORROW(o_residual, n * width, float, 1, 0, residual) ||
                 BORROW(o_direction, n * width, float, 0, 0, direction) ||
                 BORROW(o_image, n * width, float, 0, 0, image) || BORROW(o_step, width, float, 0, 0, step) ||
                 BORROW(o_shape, n, float, 0, 1, shape) || BORROW(o_groups, num_groups + 1, int64_t, 0, 0, groups) ||
                 BORROW(o_dots, num_groups * width, double, 1, 0, dots) ||
                 BORROW(o_coarse, num_groups * width, double, 1, o_shape == Py_None, coarse);
    if (!failed) {
        Py_BEGIN_ALLOW_THREADS
        isa->advance[width / 8 - 1](x, residual, direction, image, step, shape, groups, first, last, dots, coarse);
        Py_END_ALLOW_THREADS
    }
    return done(&arrays, failed);
}

static PyObject *py_turn(PyObject *module, PyObject *args) {
    PyObject *o_direction, *o_residual, *o_ratio, *o_shape, *o_lift, *o_groups;
    Py_ssize_t n, width, num_groups, first, last;
    if (!PyArg_ParseTuple(args, "OOOOOnnOnnn", &o_direction, &o_residual, &o_ratio, &o_shape, &o_lift, &n, &width,
                          &o_groups, &num_groups, &first, &last))
        return NULL;
    arrays_t arrays = {.num = 0};
    float *direction;
    const float *residual, *ratio, *shape, *lift;
    const int64_t *groups;
    int failed = BORROW(o_direction, n * width, float, 1, 0, direction) ||
                 BORROW(o_residual, n * width, float, 0, 0, residual) || BORROW(o_ratio, width, float, 0, 0, ratio) ||
                 BORROW(o_shape, n, float, 0, 1, shape) ||
                 BORROW(o_lift, num_groups * width, float, 0, o_shape == Py_None, lift) ||
                 BORROW(o_groups, num_groups + 1, int64_t, 0, 0, groups);
    if (!failed) {
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

static PyObject *py_instructions(PyObject *module, PyObject *args) {
    const char *wanted = NULL;
    if (!PyArg_ParseTuple(args, "|z", &wanted)) return NULL;
    if (wanted && choose_isa(wanted)) return PyErr_Format(PyExc_ValueError, "no %s on this processor", wanted);
    return PyUnicode_FromString(isa_name);
}

static PyMethodDef methods[] = {
    {"search_rows", py_search_rows, METH_VARARGS, NULL},
    {"search_cells", py_search_cells, METH_VARARGS, NULL},
    {"pack", py_pack, METH_VARARGS, NULL},
    {"largest", py_largest, METH_VARARGS, NULL},
    {"scale_rows", py_scale_rows, METH_VARARGS, NULL},
    {"hash_rows", py_hash_rows, METH_VARARGS, NULL},
    {"count_backward", py_count_backward, METH_VARARGS, NULL},
    {"fill_backward", py_fill_backward, METH_VARARGS, NULL},
    {"measure_rows", py_measure_rows, METH_VARARGS, NULL},
    {"write_rows", py_write_rows, METH_VARARGS, NULL},
    {"product", py_product, METH_VARARGS, NULL},
    {"advance", py_advance, METH_VARARGS, NULL},
    {"turn", py_turn, METH_VARARGS, NULL},
    {"lift", py_lift, METH_VARARGS, NULL},
    {"components", py_components, METH_VARARGS, NULL},
    {"merge_lists", py_merge_lists, METH_VARARGS, NULL},
    {"coarsen", py_coarsen, METH_VARARGS, NULL},
    {"instructions", py_instructions, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_kernels", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__kernels(void) {
    if (choose_isa("avx512") && choose_isa("avx2")) choose_isa("plain");
    return PyModule_Create(&definition);
}
