/* fewlabels.graph.compiled._kernels: the inner loops of the graph core.
 *
 * Every function works on a range of clusters, groups or rows, without the interpreter lock, so that Python's threads
 * can share the work. Where rows are known by a number in the whole data, `base` is the number of the first row of the
 * arrays, so that a caller may hold a part only; the range then counts from base. Array arguments are C-contiguous
 * buffers; their sizes are checked here, their types by fewlabels/graph/compiled, the only caller. */

#ifndef Py_GIL_DISABLED
#define Py_LIMITED_API 0x030b0000
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdlib.h>
#include <string.h>

#include "arguments.h"
#include "basis.h"
#include "clusters.h"
#include "sparse.h"
#include "topk.h"

#define PARTS 16 /* of a sum in float64 */

typedef struct {
    int (*search_rows)(const float *, int64_t, int64_t, const float *, int64_t, const int32_t *, int64_t, int32_t *,
                       float *);
    int (*rank_rows)(const float *, int64_t, int64_t, const float *, const int64_t *, const int32_t *, int64_t,
                     int64_t, int32_t *, float *);
    int (*search_clusters)(const clusters_t *, const codes_t *, const int8_t *, const table_t *, int64_t,
                           const int32_t *, int64_t, int64_t, int64_t, int, int64_t, int64_t, int32_t *, float *);
    int (*search_codes)(const int8_t *, int64_t, const codes_t *, int64_t, const int32_t *, int64_t, int32_t *);
    int (*multiply_all_codes)(const int8_t *, int64_t, const codes_t *, int64_t, int32_t *);
    int (*encode_rows)(const table_t *, const float *, const codes_t *, int64_t, double, int64_t, int64_t, int8_t *,
                       float *);
    void (*multiply_matrices)(const float *, const float *, int64_t, int64_t, int64_t, int64_t, double *);
    void (*product[4])(const csr_t *, float, rows_t, float *, const int64_t *, int64_t, int64_t, double *);
    void (*advance[4])(float *, float *, rows_t, const float *, const float *, const float *, const int64_t *,
                       int64_t, int64_t, double *, double *);
    void (*turn[4])(rows_t, const float *, const float *, const float *, const float *, const int64_t *, int64_t,
                    int64_t);
    void (*lift[4])(const float *, const float *, int64_t, int64_t, int64_t, float *);
} isa_t;

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define NAME(x) x##_plain
#define LANES 4 /* GCC makes scalars of longer vectors than the processor has */
#if defined(__aarch64__)
#define ROWS 8
#else
#define ROWS 4
#endif
static inline uint32_t mask_plain(const float *values, float threshold) {
    uint32_t mask = 0;
    for (int i = 0; i < LANES; i++) mask |= (uint32_t)(values[i] >= threshold) << i;
    return mask;
}
#define MASK(v, threshold) mask_plain((const float *)&(v), threshold)
#define TWICE(words) {(words)[0], (words)[1], (words)[2], (words)[3], (words)[0], (words)[1], (words)[2], (words)[3]}
#define WIDE 2
#define BATCH 1
#define TILE TILE_PLAIN
#include "isa.h"
#undef NAME
#undef LANES
#undef WIDE
#undef TILE
#undef BATCH
#undef ROWS
#undef MASK
#undef TWICE

#if defined(__x86_64__) && defined(__GNUC__)
#define FEWLABELS_X86
#define TEXT(x) #x
#if defined(__clang__)
#define BEGIN_TARGET(names, width) \
    _Pragma(TEXT(clang attribute push(__attribute__((target(names))), apply_to = function)))
#define END_TARGET _Pragma("clang attribute pop")
#else
#define BEGIN_TARGET(names, width) _Pragma("GCC push_options") _Pragma(TEXT(GCC target(names width)))
#define END_TARGET _Pragma("GCC pop_options")
#endif
#include <immintrin.h>

BEGIN_TARGET("avx2,fma", "")
#define NAME(x) x##_avx2
#define LANES 8
#define ROWS 6
#define MASK(v, threshold) \
    (uint32_t) _mm256_movemask_ps(_mm256_cmp_ps((__m256)(v), _mm256_set1_ps(threshold), _CMP_GE_OQ))
#define TWICE(words) (u8) _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(words)))
#define WIDE 4
#define BATCH 2
#define TILE TILE_AVX2
#include "isa.h"
#undef NAME
#undef LANES
#undef WIDE
#undef TILE
#undef BATCH
#undef ROWS
#undef MASK
#undef TWICE
END_TARGET

BEGIN_TARGET("avx2,fma,avx512f,avx512vl,avx512dq,avx512bw", ",prefer-vector-width=512")
#define NAME(x) x##_avx512
#define LANES 16
#define ROWS 12
#define MASK(v, threshold) (uint32_t) _mm512_cmp_ps_mask((__m512)(v), _mm512_set1_ps(threshold), _CMP_GE_OQ)
#define TWICE(words) (u8) _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(words)))
#define WIDE 8
#define BATCH 4
#define TILE TILE_AVX512
#include "isa.h"
#undef NAME
#undef LANES
#undef WIDE
#undef TILE
#undef BATCH
#undef ROWS
#undef MASK
#undef TWICE
END_TARGET

BEGIN_TARGET("avx2,fma,avx512f,avx512vl,avx512dq,avx512bw,avx512vnni", ",prefer-vector-width=512")
#define NAME(x) x##_avx512vnni
#define LANES 16
#define ROWS 12
#define MASK(v, threshold) (uint32_t) _mm512_cmp_ps_mask((__m512)(v), _mm512_set1_ps(threshold), _CMP_GE_OQ)
#define TWICE(words) (u8) _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(words)))
#define WIDE 8
#define BATCH 4
#define TILE TILE_VNNI
#include "isa.h"
#undef NAME
#undef LANES
#undef WIDE
#undef TILE
#undef BATCH
#undef ROWS
#undef MASK
#undef TWICE
END_TARGET
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
    const int wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                     __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
    if (!strcmp(wanted, "avx512") && wide) {
        isa = &isa_avx512, isa_name = "avx512";
        return 0;
    }
    if (!strcmp(wanted, "avx512vnni") && wide && __builtin_cpu_supports("avx512vnni")) {
        isa = &isa_avx512vnni, isa_name = "avx512vnni";
        return 0;
    }
#endif
    return -1;
}

#include "bind_rows.h"
#include "bind_search.h"
#include "bind_codes.h"
#include "bind_graph.h"
#include "bind_solve.h"

static PyObject *py_instructions(PyObject *module, PyObject *args) {
    const char *wanted = NULL;
    if (!PyArg_ParseTuple(args, "|z", &wanted)) return NULL;
    if (wanted && choose_isa(wanted)) return PyErr_Format(PyExc_ValueError, "no %s on this processor", wanted);
    return PyUnicode_FromString(isa_name);
}

static PyMethodDef methods[] = {
    {"search_rows", py_search_rows, METH_VARARGS, NULL},
    {"rank_rows", py_rank_rows, METH_VARARGS, NULL},
    {"search_clusters", py_search_clusters, METH_VARARGS, NULL},
    {"pack_codes", py_pack_codes, METH_VARARGS, NULL},
    {"search_codes", py_search_codes, METH_VARARGS, NULL},
    {"search_coded_clusters", py_search_coded_clusters, METH_VARARGS, NULL},
    {"multiply_codes", py_multiply_codes, METH_VARARGS, NULL},
    {"encode_rows", py_encode_rows, METH_VARARGS, NULL},
    {"multiply_matrices", py_multiply_matrices, METH_VARARGS, NULL},
    {"invert_triangle", py_invert_triangle, METH_VARARGS, NULL},
    {"probe_previous", py_probe_previous, METH_VARARGS, NULL},
    {"pack", py_pack, METH_VARARGS, NULL},
    {"largest", py_largest, METH_VARARGS, NULL},
    {"scale_rows", py_scale_rows, METH_VARARGS, NULL},
    {"hash_rows", py_hash_rows, METH_VARARGS, NULL},
    {"count_reverse", py_count_reverse, METH_VARARGS, NULL},
    {"fill_reverse", py_fill_reverse, METH_VARARGS, NULL},
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
    if (choose_isa("avx512vnni") && choose_isa("avx512") && choose_isa("avx2")) choose_isa("plain");
    return PyModule_Create(&definition);
}
