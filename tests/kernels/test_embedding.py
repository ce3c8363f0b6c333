"""Rows of tables, and sums into them, against NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest
from reference import DTYPES, accumulator, close, normal

from tensorlite.ops.index import CHUNK

pytestmark = pytest.mark.parametrize("dtype", DTYPES)


@pytest.mark.parametrize("columns", [1, 3, 33, 1000])
def test_embedding(run, host_kernels, dtype, columns):
    dtype, tolerance = DTYPES[dtype]
    entries, rows = 7, 50
    table, g = normal(1, entries, columns).astype(dtype), normal(2, rows, columns).astype(dtype)
    ids = np.random.default_rng(3).integers(0, entries - 1, rows)  # the last is never used
    y = run("embedding", table, ids, ((rows, columns), dtype), rows, columns, entries)
    np.testing.assert_array_equal(y, table[ids].astype(float))

    order, start = np.empty(rows, np.int64), np.empty(entries + 1, np.int64)
    host_kernels.embedding_order(ids, order, start, rows, entries)
    np.testing.assert_array_equal(order, np.argsort(ids, kind="stable"))
    np.testing.assert_array_equal(start, np.searchsorted(np.sort(ids), np.arange(entries + 1)))
    dtable = _table_gradient(run, g, ids, order, start, entries)
    expected = np.zeros((entries, columns))
    np.add.at(expected, ids, g.astype(float))
    close(dtable, expected, tolerance)


def _table_gradient(run, g, ids, order, start, entries):
    (rows, columns), acc = g.shape, accumulator(g.dtype)
    out = ((entries, columns), acc)
    if run.on_host:
        return run("embedding_backward", g, order, start, out, rows, columns, entries, -1)
    chunks = -(-rows // CHUNK)
    sizes = rows, columns, entries, chunks
    partial, dtable = run(
        "embedding_chunks", g, ids[order], order, start, ((chunks, 2, columns), acc), out, *sizes
    )
    partial, dtable = partial.astype(acc), dtable.astype(acc)
    return run("embedding_join", partial, start, dtable, columns, entries, chunks, update=[2])


@pytest.mark.parametrize("columns", [1, 130])
@pytest.mark.parametrize("rows", [1, 63, 64, 65, 300])
def test_embedding_of_a_batch_that_one_token_fills(run, dtype, rows, columns):
    dtype, tolerance = DTYPES[dtype]
    entries = 9
    g = normal(2, rows, columns).astype(dtype)
    ids = np.random.default_rng(3).integers(0, entries, rows)
    ids[rows // 5 : rows // 5 * 4] = 4
    order = np.argsort(ids, kind="stable")
    start = np.searchsorted(ids[order], np.arange(entries + 1))
    expected = np.zeros((entries, columns))
    np.add.at(expected, ids, g.astype(float))
    close(_table_gradient(run, g, ids, order, start, entries), expected, 8 * tolerance)


def test_embedding_reads_no_wrong_row(run, dtype):
    dtype, _ = DTYPES[dtype]
    y = run("embedding", np.ones((2, 3), dtype), np.array([2, -1, 1]), ((3, 3), dtype), 3, 3, 2)
    np.testing.assert_array_equal(np.isnan(y).all(1), [True, True, False])
