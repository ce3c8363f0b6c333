"""Named tuples that functions with several results return, under torch's names.

``tl.max(x, 0)`` is a pair to take apart, ``values, indices = tl.max(x, 0)``, and has its parts by
name, ``tl.max(x, 0).indices``.
"""

from __future__ import annotations

from collections import namedtuple


def _pair_of_values_and_indices(*names: str) -> None:
    for name in names:
        globals()[name] = namedtuple(name, ("values", "indices"))


_pair_of_values_and_indices("max", "min", "sort", "topk", "kthvalue", "mode")
_pair_of_values_and_indices("median", "nanmedian", "cummax", "cummin")
aminmax = namedtuple("aminmax", ("min", "max"))
histogram = namedtuple("histogram", ("hist", "bin_edges"))
histogramdd = namedtuple("histogramdd", ("hist", "bin_edges"))
