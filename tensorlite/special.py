"""Special functions under torch's names in ``torch.special``."""

from __future__ import annotations

from tensorlite.ops.activation import sigmoid as expit
from tensorlite.ops.bessel import i0, i0e, i1, i1e
from tensorlite.ops.binary import xlog1py, xlogy
from tensorlite.ops.described import describe
from tensorlite.ops.elementwise import erf, erfc, exp2, expm1, log1p
from tensorlite.ops.faces import name_as_torch
from tensorlite.ops.gamma import digamma, polygamma, zeta
from tensorlite.ops.gamma import digamma as psi
from tensorlite.ops.gamma import lgamma as gammaln
from tensorlite.ops.gamma import mvlgamma as multigammaln
from tensorlite.ops.incomplete_gamma import igamma as gammainc
from tensorlite.ops.incomplete_gamma import igammac as gammaincc
from tensorlite.ops.probabilities import entr, erfcx, erfinv, log_ndtr, logit, ndtr, ndtri
from tensorlite.ops.reduce import logsumexp
from tensorlite.ops.rounding import round
from tensorlite.ops.softmax import log_softmax, softmax
from tensorlite.ops.trigonometry import sinc
from tensorlite.unknown import answers_for

__all__ = [
    "digamma",
    "entr",
    "erf",
    "erfc",
    "erfcx",
    "erfinv",
    "exp2",
    "expit",
    "expm1",
    "gammainc",
    "gammaincc",
    "gammaln",
    "i0",
    "i0e",
    "i1",
    "i1e",
    "log1p",
    "log_ndtr",
    "log_softmax",
    "logit",
    "logsumexp",
    "multigammaln",
    "ndtr",
    "ndtri",
    "polygamma",
    "psi",
    "round",
    "sinc",
    "softmax",
    "xlog1py",
    "xlogy",
    "zeta",
]

name_as_torch([globals()[name] for name in __all__])
describe([entr, erfcx, i0e, i1, i1e, log_ndtr, ndtr, ndtri, xlog1py, zeta])

__getattr__ = answers_for(__name__)
