/* Buffers that Python hands in, held while a function works on them. */
#ifndef FEWLABELS_ARGUMENTS_H
#define FEWLABELS_ARGUMENTS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>

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

#endif
