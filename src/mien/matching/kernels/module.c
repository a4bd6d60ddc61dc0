/* mien.matching._native: the exact search for Python; arrays come as contiguous buffers. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <math.h>

#include "search.h"

typedef struct {
    Segment segment;
    Py_buffer views[6];
    int held;
} Held;

static const Kernel *kernels[4];
static int kernel_count;

static const Kernel *kernel_named(const char *name) {
    for (int i = 0; i < kernel_count; i++)
        if (strcmp(kernels[i]->name, name) == 0) return kernels[i];
    PyErr_Format(PyExc_ValueError, "no kernel named %s here", name);
    return NULL;
}

static void release(Held *held, Py_ssize_t count) {
    for (Py_ssize_t i = 0; i < count; i++)
        for (int k = 0; k < 6; k++)
            if (held[i].held & (1 << k)) PyBuffer_Release(&held[i].views[k]);
    PyMem_Free(held);
}

static int hold(Held *held, PyObject *tuple, size_t d) {
    const size_t widths[6] = {4 * d, d, 4, 4, 8, 8};
    const void *data[6] = {NULL};
    if (!PyTuple_Check(tuple) || PyTuple_GET_SIZE(tuple) != 6) {
        PyErr_SetString(PyExc_TypeError, "expected segments of five buffers and a number");
        return -1;
    }
    size_t rows = 0;
    float error = 0;
    for (int k = 5; k >= 0; k--) {
        PyObject *item = PyTuple_GET_ITEM(tuple, k);
        if (k == 3) {
            error = (float)PyFloat_AsDouble(item);
            if (PyErr_Occurred()) return -1;
            continue;
        }
        if (item == Py_None && k < 4) continue;
        if (PyObject_GetBuffer(item, &held->views[k], PyBUF_SIMPLE) < 0) return -1;
        held->held |= 1 << k;
        data[k] = held->views[k].buf;
        if (k == 5) rows = (size_t)held->views[5].len / 8;
        if ((size_t)held->views[k].len != rows * widths[k]) {
            PyErr_Format(PyExc_ValueError, "buffer %d of a segment: expected %zu bytes, got %zd", k, rows * widths[k],
                         held->views[k].len);
            return -1;
        }
    }
    if ((!data[0] && !data[1]) || (data[1] && !data[2])) {
        PyErr_SetString(PyExc_ValueError, "a segment lacks vectors, codes or scales");
        return -1;
    }
    Segment segment = {rows, data[0], data[1], data[2], error, data[4], data[5]};
    held->segment = segment;
    return 0;
}

static PyObject *py_search(PyObject *self, PyObject *args) {
    PyObject *list, *result = NULL;
    Py_buffer probes, scores, ids, identities, counts;
    Py_ssize_t m, d, top;
    double threshold;
    int threads;
    const char *name;
    (void)self;
    if (!PyArg_ParseTuple(args, "sO!y*nnndiw*w*w*w*", &name, &PyList_Type, &list, &probes, &m, &d, &top, &threshold,
                          &threads, &scores, &ids, &identities, &counts))
        return NULL;
    const Kernel *kernel = kernel_named(name);
    Py_ssize_t n = PyList_GET_SIZE(list);
    Held *held = PyMem_Calloc(n ? n : 1, sizeof(Held));
    Segment *segments = PyMem_Calloc(n ? n : 1, sizeof(Segment));
    Entry *entries = NULL;
    int ok = kernel != NULL;
    if (!held || !segments) {
        PyErr_NoMemory();
        ok = 0;
    }
    if (ok && (m < 0 || d < 1 || top < 1 || probes.len != m * d * 4 || scores.len != m * top * 4 ||
               ids.len != m * top * 8 || identities.len != m * top * 8 || counts.len != m * 8)) {
        PyErr_SetString(PyExc_ValueError, "the buffers do not fit the numbers of probes, dimensions and results");
        ok = 0;
    }
    for (Py_ssize_t i = 0; ok && i < n; i++) {
        ok = hold(&held[i], PyList_GET_ITEM(list, i), (size_t)d) == 0;
        segments[i] = held[i].segment;
        if (ok && (segments[i].codes != NULL) != (segments[0].codes != NULL)) {
            PyErr_SetString(PyExc_ValueError, "segments of several codecs");
            ok = 0;
        }
    }
    if (ok) {
        int status = -1;
        Query query = {kernel,    segments,  (size_t)n, probes.buf, (size_t)m,
                       (size_t)d, (size_t)top, threshold, threads};
        Py_BEGIN_ALLOW_THREADS;
        entries = malloc((size_t)(m ? m : 1) * top * sizeof(Entry));
        if (entries) status = search(&query, entries, counts.buf);
        if (status == 0)
            for (Py_ssize_t p = 0; p < m; p++)
                for (int64_t k = 0; k < ((int64_t *)counts.buf)[p]; k++) {
                    const Entry *entry = &entries[p * top + k];
                    ((float *)scores.buf)[p * top + k] = entry->score;
                    ((int64_t *)ids.buf)[p * top + k] = entry->id;
                    ((int64_t *)identities.buf)[p * top + k] = entry->identity;
                }
        free(entries);
        Py_END_ALLOW_THREADS;
        if (status == 0) result = Py_NewRef(Py_None);
        else PyErr_NoMemory();
    }
    if (held) release(held, n);
    PyMem_Free(segments);
    PyBuffer_Release(&probes);
    PyBuffer_Release(&scores);
    PyBuffer_Release(&ids);
    PyBuffer_Release(&identities);
    PyBuffer_Release(&counts);
    return result;
}

static PyObject *py_quantize(PyObject *self, PyObject *args) {
    Py_buffer rows, codes, scales, errors;
    Py_ssize_t d;
    PyObject *result = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*nw*w*w*", &rows, &d, &codes, &scales, &errors)) return NULL;
    Py_ssize_t n = d > 0 ? rows.len / (4 * d) : 0;
    if (d > 0 && rows.len == n * d * 4 && codes.len == n * d && scales.len == n * 4 && errors.len == n * 4) {
        Py_BEGIN_ALLOW_THREADS;
        quantize_rows(rows.buf, (size_t)n, (size_t)d, codes.buf, scales.buf, errors.buf);
        Py_END_ALLOW_THREADS;
        result = Py_NewRef(Py_None);
    } else {
        PyErr_SetString(PyExc_ValueError, "the buffers do not fit the rows");
    }
    PyBuffer_Release(&rows);
    PyBuffer_Release(&codes);
    PyBuffer_Release(&scales);
    PyBuffer_Release(&errors);
    return result;
}

static PyObject *py_kernels(PyObject *self, PyObject *unused) {
    (void)self, (void)unused;
    PyObject *names = PyList_New(0);
    for (int i = 0; names && i < kernel_count; i++) {
        PyObject *name = PyUnicode_FromString(kernels[i]->name);
        if (!name || PyList_Append(names, name) < 0) Py_CLEAR(names);
        Py_XDECREF(name);
    }
    return names;
}

static PyMethodDef methods[] = {
    {"search", py_search, METH_VARARGS,
     "search(kernel, segments, probes, m, d, top, threshold, threads, scores, ids, identities, counts)"},
    {"quantize", py_quantize, METH_VARARGS, "quantize(rows, d, codes, scales, errors)"},
    {"kernels", py_kernels, METH_NOARGS, "Names of the kernels that this processor runs, the fastest first."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_native", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__native(void) {
    const Kernel *all[] = {vnni_kernel(), avx2_kernel(), neon_kernel(), generic_kernel()};
    kernel_count = 0;
    for (int i = 0; i < 4; i++)
        if (all[i]) kernels[kernel_count++] = all[i];
    return PyModule_Create(&definition);
}
