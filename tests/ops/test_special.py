"""`tl.special`, `tl.fft` and `tl.signal`.

The values of special functions were made with mpmath 1.3 in 350 digits (of `gammainc` in 60), those
of windows with torch 2.13.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import tensorlite as tl
from tensorlite.tensor import tensor_of

inf, nan = math.inf, math.nan

VALUES = {
    "gammaln": [
        (1e-300, 690.77552789821371),
        (0.1, 2.2527126517342059),
        (0.999, 0.00057803853289138024),
        (1.0000001, -5.7721558299185071e-8),
        (1.5, -0.12078223763524522),
        (2.1, 0.045437738544485179),
        (3, 0.69314718055994531),
        (9.9, 12.57717990421988),
        (10.1, 13.027526738633237),
        (170.5, 704.00442773420467),
        (-0.5, 1.2655121234846454),
        (-2.3, 0.36956666345500804),
        (-20.7, -43.105133189536224),
    ],
    "digamma": [
        (1e-300, -9.9999999999999997e299),
        (0.1, -10.423754940411076),
        (0.999, -0.57886180210864543),
        (1.5, 0.036489973978576521),
        (3, 0.92278433509846714),
        (9.9, 2.2411803166063814),
        (10.1, 2.2622143570941481),
        (10000000000.0, 23.025850929890457),
        (-0.5, 0.036489973978576521),
        (-2.3, 3.3173231575618227),
        (-20.7, 0.77159318508250554),
    ],
    "polygamma1": [
        (1e-100, 9.9999999999999996e199),
        (0.1, 101.43329915079275),
        (1.5, 0.93480220054467931),
        (9.9, 0.10628304162874059),
        (10000000000.0, 1.00000000005e-10),
        (-0.5, 8.9348022005446793),
        (-2.3, 14.725912160961291),
    ],
    "polygamma4": [
        (1e-20, -2.4000000000000007e101),
        (0.1, -2400015.6072031952),
        (1.5, -3.4742498266672252),
        (9.9, -0.00076134350223221843),
        (10000000000.0, -6.0000000012e-40),
        (-0.5, -3.4742498266672252),
        (-2.3, 9738.6717365692514),
    ],
    "i0": [
        (1e-10, 1.0),
        (0.5, 1.0634833707413235),
        (5, 27.239871823604447),
        (24.9, 5235629675.8044222),
        (25.1, 6369018573.8035025),
        (-100, 1.0737517071310738e42),
        (700, 1.5295933476718737e302),
    ],
    "i1": [
        (1e-10, 5.0000000000000002e-11),
        (0.5, 0.25789430539089632),
        (5, 24.335642142450527),
        (24.9, 5129395695.9257421),
        (25.1, 6240828249.8739803),
        (-100, -1.0683693903381625e42),
        (700, 1.5285003902339007e302),
    ],
    "i0e": [
        (0.5, 0.64503527044915007),
        (24.9, 0.080359332611532214),
        (25.1, 0.080035197254296236),
        (-100, 0.039944379299096683),
        (10000000000.0, 3.9894228040641946e-6),
    ],
    "i1e": [
        (0.5, 0.1564208031848717),
        (24.9, 0.078728794882103129),
        (25.1, 0.078424315178368414),
        (-100, -0.039744153025130253),
        (10000000000.0, 3.9894228038647234e-6),
    ],
    "erf": [
        (1e-300, 1.1283791670955126e-300),
        (1e-05, 1.1283791670579e-5),
        (0.2, 0.22270258921047847),
        (0.46, 0.48465539000167967),
        (0.47, 0.49374505088608211),
        (1, 0.84270079294971487),
        (3.9, 0.9999999652077514),
        (4.1, 0.99999999329997235),
        (-2, -0.99532226501895273),
    ],
    "erfc": [
        (-3, 1.9999779095030014),
        (-0.3, 1.3286267594591274),
        (0.2, 0.77729741078952153),
        (0.47, 0.50625494911391789),
        (1, 0.15729920705028513),
        (3.9, 3.4792248597231767e-8),
        (4.1, 6.7000276540849184e-9),
        (10, 2.0884875837625448e-45),
        (26, 5.6631924088561428e-296),
    ],
    "erfcx": [
        (-20, 1.0442939379528288e174),
        (-0.3, 1.4537492328427656),
        (0.2, 0.80901951990158073),
        (0.47, 0.63140051666003432),
        (1, 0.427583576155807),
        (3.9, 0.14031418160068974),
        (4.1, 0.13383411641865199),
        (10, 0.056140992743822586),
        (100, 0.0056416137829894329),
    ],
    "erfinv": [
        (1e-10, 8.8622692545275805e-11),
        (0.1, 0.088855990494257692),
        (0.5, 0.47693627620446987),
        (-0.849, -1.0154111558190085),
        (0.851, 1.0204064737926705),
        (0.999, 2.3267537655135245),
        (0.9999999999990905, 5.05125408524939),
    ],
    "ndtr": [
        (-37, 5.7255712225245768e-300),
        (-10, 7.6198530241605261e-24),
        (-1, 0.15865525393145705),
        (0.1, 0.53982783727702898),
        (3, 0.99865010196836991),
        (8, 0.99999999999999938),
    ],
    "ndtri": [
        (1e-300, -37.047096299361199),
        (1e-10, -6.3613409024040562),
        (0.01, -2.3263478740408411),
        (0.3, -0.52440051270804082),
        (0.8, 0.84162123357291436),
        (0.9999999999990905, 7.0477002566644087),
    ],
    "log_ndtr": [
        (-1000, -500007.82669481218),
        (-37, -689.03058557689059),
        (-1.1, -1.9975588469862971),
        (-0.9, -1.6924928065613382),
        (0.1, -0.61650501011502629),
        (8, -6.2209605742717861e-16),
        (30, -4.9067139271481871e-198),
    ],
    "sinc": [
        (1e-10, 1.0),
        (0.3, 0.85839369133413979),
        (1.5, -0.21220659078919378),
        (-7.25, -0.031045390212314002),
    ],
    "gammainc": [
        ((0.01, 1e-05), 0.8963367982671972),
        ((0.5, 0.5), 0.6826894921370859),
        ((1, 3.9), 0.97975808855419561),
        ((5, 4.5), 0.46789642362528452),
        ((5, 8), 0.90036759951295398),
        ((19.5, 25), 0.88848373163706888),
        ((20.5, 18), 0.30787950864962302),
        ((25, 40), 0.9955173434344268),
        ((100, 99), 0.47330433039946099),
        ((100, 150), 0.99999407545966452),
        ((1000, 1010), 0.62767894473699473),
        ((2000, 900), 2.2837564562867192e-218),
        ((3000, 4000), 1.0),
    ],
    "gammaincc": [
        ((0.01, 1e-05), 0.1036632017328028),
        ((0.5, 0.5), 0.3173105078629141),
        ((1, 3.9), 0.02024191144580439),
        ((5, 4.5), 0.53210357637471548),
        ((5, 8), 0.099632400487046016),
        ((19.5, 25), 0.11151626836293112),
        ((20.5, 18), 0.69212049135037698),
        ((25, 40), 0.0044826565655732046),
        ((100, 99), 0.52669566960053901),
        ((100, 150), 5.9245403354839158e-6),
        ((1000, 1010), 0.37232105526300527),
        ((2000, 900), 1.0),
        ((3000, 4000), 7.2354364419373434e-62),
    ],
}

LOOSE = {"gammaln": 2e-14, "digamma": 2e-14, "gammainc": 3e-13, "gammaincc": 3e-13}


def _called(name, arguments):
    if name.startswith("polygamma"):
        return tl.special.polygamma(int(name[9:]), *arguments)
    return getattr(tl.special, name)(*arguments)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", VALUES)
def test_values(backend, name, dtype):
    points = [x if isinstance(x, tuple) else (x,) for x, _ in VALUES[name]]
    columns = [np.array(c, float) for c in zip(*points, strict=True)]
    expected = np.array([y for _, y in VALUES[name]])
    if dtype == "float32":  # those that float32 has, to the last bit
        held = np.all([c == c.astype("f").astype(float) for c in columns], axis=0)
        with np.errstate(over="ignore"):
            expected = expected[held].astype("f")
        columns = [c[held].astype("f") for c in columns]
    y = _called(name, [tensor_of(backend.asarray(c)) for c in columns])
    assert y.dtype == dtype
    floor = 1e-37 if dtype == "float32" else 1e-300  # below, numbers may be flushed to 0
    tolerance = 3e-7 if dtype == "float32" else LOOSE.get(name, 5e-15)
    np.testing.assert_allclose(backend.to_host(y.array), expected, rtol=tolerance, atol=floor)


EDGES = {  # as torch has them
    "gammaln": ([0, -0.0, -1, inf, -inf, nan], [inf, inf, inf, inf, inf, nan]),
    "digamma": ([0, -0.0, -1, inf, nan], [-inf, inf, nan, inf, nan]),
    "polygamma1": ([0, -1, inf, nan], [inf, inf, 0, nan]),
    "polygamma2": ([0, -1, nan], [-inf, -inf, nan]),
    "i0": ([inf, -inf, 0, nan], [inf, inf, 1, nan]),
    "i1": ([inf, -inf, 0, nan], [inf, -inf, 0, nan]),
    "i0e": ([inf, -inf, 0, nan], [0, 0, 1, nan]),
    "i1e": ([inf, -inf, 0, nan], [0, 0, 0, nan]),
    "erfinv": ([1, -1, 0, 2, -1.5, nan], [inf, -inf, 0, nan, nan, nan]),
    "ndtri": ([1, 0, 0.5, 2, -1, nan], [inf, -inf, 0, nan, nan, nan]),
    "erfcx": ([inf, -inf, nan], [0, inf, nan]),
    "ndtr": ([inf, -inf, nan], [1, 0, nan]),
    "log_ndtr": ([inf, -inf, nan], [0, -inf, nan]),
    "entr": ([0, -1, inf, nan], [0, -inf, -inf, nan]),
    "logit": ([0, 1, -1, 2, nan], [-inf, inf, nan, nan, nan]),
    "sinc": ([0, nan], [1, nan]),
}


@pytest.mark.parametrize("name", EDGES)
def test_edges(backend, name):
    x, expected = EDGES[name]
    with np.errstate(all="ignore"):
        y = _called(name, [tensor_of(backend.asarray(np.array(x, float)))])
    np.testing.assert_array_equal(backend.to_host(y.array), expected)


def test_incomplete_gamma_at_its_edges(backend):
    a, x = np.array([[0, 0, 1, inf, inf, -1, 1, 1], [0, 1, 0, 1, inf, 1, inf, -1]], float)
    a, x = (tensor_of(backend.asarray(v)) for v in (a, x))
    lower, upper = (backend.to_host(f(a, x).array) for f in (tl.igamma, tl.igammac))
    np.testing.assert_array_equal(lower, [nan, 1, 0, 0, nan, nan, 1, nan])
    np.testing.assert_array_equal(upper, [nan, 0, 1, 1, nan, nan, 0, nan])


def test_incomplete_gamma_of_large_numbers():
    a = tl.tensor([1e9, 1e10, 1e200], dtype="float64")
    expected = 0.5 + 1 / (3 * np.sqrt(2 * math.pi * a.numpy()))  # DLMF 8.11.12
    np.testing.assert_allclose(tl.igamma(a, a).numpy(), expected, rtol=1e-12)


def test_incomplete_gamma_has_no_derivative_by_its_parameter():
    a, x = (tl.tensor([2.0], requires_grad=True) for _ in range(2))
    with pytest.raises(NotImplementedError, match="no derivative by the first argument"):
        tl.igamma(a, x).backward()


def test_forms_of_the_calls():
    x = tl.tensor([0.25, 0.75], dtype="float64", requires_grad=True)
    assert tl.allclose(x.polygamma(1), tl.polygamma(1, x))
    assert tl.allclose(tl.polygamma(0, x), x.digamma())
    with pytest.raises(ValueError, match="n is -1"):
        tl.polygamma(-1, x)
    p = x + 2
    sums = sum((tl.lgamma(p - j / 2) for j in range(1, 3)), tl.lgamma(p)) + 1.5 * math.log(math.pi)
    assert tl.allclose(tl.mvlgamma(p, 3), sums)
    with pytest.raises(ValueError, match="p is 0"):
        tl.mvlgamma(p, 0)
    assert tl.special.expit is tl.sigmoid
    y = tl.tensor([0.0, 0.5, 0.95], requires_grad=True)
    tl.logit(y, 0.1).sum().backward()
    assert y.grad.tolist() == [0, 4, 0]
    assert tl.lgamma(tl.tensor([3, 4])).dtype == tl.float32


@pytest.mark.parametrize("n", [0, 1, 4, 5])
def test_shifts_and_frequencies(n):
    x = np.arange(2.0 * n).reshape(2, n)
    t = tl.tensor(x)
    np.testing.assert_array_equal(tl.fft.fftshift(t).numpy(), np.fft.fftshift(x))
    np.testing.assert_array_equal(tl.fft.fftshift(t, 1).numpy(), np.fft.fftshift(x, 1))
    np.testing.assert_array_equal(tl.fft.ifftshift(tl.fft.fftshift(t, dim=(0, 1))).numpy(), x)
    if n:
        for name in ("fftfreq", "rfftfreq"):
            frequencies = getattr(tl.fft, name)(n, 0.5)
            assert frequencies.dtype == tl.float32
            np.testing.assert_allclose(
                frequencies.numpy(), getattr(np.fft, name)(n, 0.5), rtol=1e-7
            )


def test_transforms_say_what_to_use_instead():
    for name in ("fft", "irfft", "rfft2", "ifftn", "hfft"):
        with pytest.raises(AttributeError, match=f"{name} would need complex.*numpy.fft.{name}"):
            getattr(tl.fft, name)
    with pytest.raises(AttributeError, match="has no attribute 'ftt'"):
        _ = tl.fft.ftt


WINDOWS = [
    ("bartlett", {"sym": True}, [0.0, 0.5, 1.0, 0.5, 0.0]),
    ("bartlett", {"sym": False}, [0.0, 0.4, 0.8, 0.8, 0.4]),
    ("blackman", {"sym": True}, [-0.0, 0.34, 1.0, 0.34, -0.0]),
    (
        "blackman",
        {"sym": False},
        [-0.0, 0.20077014326253, 0.849229856737469, 0.84922985673747, 0.200770143262531],
    ),
    (
        "cosine",
        {"sym": True},
        [0.309016994374947, 0.809016994374947, 1.0, 0.809016994374947, 0.309016994374948],
    ),
    (
        "cosine",
        {"sym": False},
        [
            0.258819045102521,
            0.707106781186547,
            0.965925826289068,
            0.965925826289068,
            0.707106781186548,
        ],
    ),
    (
        "exponential",
        {"sym": True, "tau": 2.0},
        [0.367879441171442, 0.606530659712633, 1.0, 0.606530659712633, 0.367879441171442],
    ),
    (
        "exponential",
        {"sym": False, "tau": 2.0},
        [
            0.28650479686019,
            0.472366552741015,
            0.778800783071405,
            0.778800783071405,
            0.472366552741015,
        ],
    ),
    (
        "gaussian",
        {"sym": True, "std": 1.5},
        [0.411112290507188, 0.800737402916808, 1.0, 0.800737402916808, 0.411112290507188],
    ),
    (
        "gaussian",
        {"sym": False, "std": 1.5},
        [
            0.249352208777296,
            0.606530659712634,
            0.945959468906766,
            0.945959468906765,
            0.606530659712634,
        ],
    ),
    ("general_cosine", {"sym": True, "a": [0.5, 0.3, 0.2]}, [0.4, 0.3, 1.0, 0.3, 0.4]),
    (
        "general_cosine",
        {"sym": False, "a": [0.5, 0.3, 0.2]},
        [0.4, 0.245491502812526, 0.804508497187474, 0.804508497187474, 0.245491502812526],
    ),
    ("general_hamming", {"sym": True, "alpha": 0.6}, [0.2, 0.6, 1.0, 0.6, 0.2]),
    (
        "general_hamming",
        {"sym": False, "alpha": 0.6},
        [0.2, 0.476393202250021, 0.923606797749979, 0.923606797749979, 0.476393202250021],
    ),
    ("hamming", {"sym": True}, [0.08, 0.54, 1.0, 0.54, 0.08]),
    (
        "hamming",
        {"sym": False},
        [0.08, 0.397852182587524, 0.912147817412476, 0.912147817412476, 0.397852182587524],
    ),
    ("hann", {"sym": True}, [0.0, 0.5, 1.0, 0.5, 0.0]),
    (
        "hann",
        {"sym": False},
        [0.0, 0.345491502812526, 0.904508497187474, 0.904508497187474, 0.345491502812526],
    ),
    (
        "kaiser",
        {"sym": True, "beta": 4.0},
        [0.08848052607645, 0.633431779755935, 1.0, 0.633431779755935, 0.08848052607645],
    ),
    (
        "kaiser",
        {"sym": False, "beta": 4.0},
        [
            0.08848052607645,
            0.508515915392089,
            0.932711570032223,
            0.932711570032223,
            0.508515915392089,
        ],
    ),
    ("nuttall", {"sym": True}, [0.0003628, 0.2269824, 1.0, 0.2269824, 0.0003628]),
    (
        "nuttall",
        {"sym": False},
        [0.0003628, 0.110515253049872, 0.798258096950128, 0.798258096950128, 0.110515253049872],
    ),
]


@pytest.mark.parametrize(("name", "options", "expected"), WINDOWS)
def test_windows(name, options, expected):
    made = getattr(tl.signal.windows, name)
    y = made(5, dtype="float64", requires_grad=True, **options)
    assert y.requires_grad
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-13, atol=1e-15)
    assert made(5, **options).dtype == tl.float32
    assert made(1, **options).tolist() == [1]
    assert made(0, **options).shape == (0,)
    with pytest.raises(ValueError, match="a window of -1 points"):
        made(-1, **options)
    with pytest.raises(ValueError, match="float32 or float64"):
        made(5, dtype="int64", **options)


def test_bad_windows():
    windows = tl.signal.windows
    with pytest.raises(ValueError, match="tau is 0"):
        windows.exponential(5, tau=0)
    with pytest.raises(ValueError, match="center in the middle"):
        windows.exponential(5, center=1)
    assert windows.exponential(3, center=0, sym=False)[0].item() == 1
    with pytest.raises(ValueError, match="std is 0"):
        windows.gaussian(5, std=0)
    with pytest.raises(ValueError, match="beta is -1"):
        windows.kaiser(5, beta=-1)
    with pytest.raises(ValueError, match="a is empty"):
        windows.general_cosine(5, a=[])
