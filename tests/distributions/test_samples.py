"""Samples by their moments, their gradients, their generator; and what is refused."""

import math

import numpy as np
import pytest
from distribution_cases import where_there_is_a_solver

import tensorlite as tl
from tensorlite import distributions as D
from tensorlite.distributions.standard_gamma import _log_slope

COUNT = 40_000


def on_host(tensor):
    return tensor.detach().to("cpu").numpy()


def t(values, device, dtype="float32"):
    return tl.tensor(np.array(values, dtype), device=device)


MAKERS = {
    "Normal": lambda v: D.Normal(v([0.5, -1.0]), v([2.0, 0.3])),
    "LogNormal": lambda v: D.LogNormal(v([0.5, -1.0]), v([0.4, 0.3])),
    "HalfNormal": lambda v: D.HalfNormal(v([0.5, 2.0])),
    "Uniform": lambda v: D.Uniform(v([0.5, -1.0]), v([2.0, 0.3])),
    "Exponential": lambda v: D.Exponential(v([0.5, 3.0])),
    "Laplace": lambda v: D.Laplace(v([0.5, -1.0]), v([2.0, 0.3])),
    "Gumbel": lambda v: D.Gumbel(v([0.5, -1.0]), v([2.0, 0.3])),
    "Gamma": lambda v: D.Gamma(v([0.3, 7.0, 2000.0]), v([2.0, 0.3, 1.0])),
    "Chi2": lambda v: D.Chi2(v([0.5, 7.0])),
    "Beta": lambda v: D.Beta(v([0.5, 7.0]), v([2.0, 3.0])),
    "Dirichlet": lambda v: D.Dirichlet(v([[0.5, 7.0, 2.0], [0.1, 0.1, 0.1]])),
    "StudentT": lambda v: D.StudentT(v([9.0, 17.0]), v([2.0, 3.0]), v([0.5, 4.0])),
    "Bernoulli": lambda v: D.Bernoulli(v([0.0, 0.2, 0.7, 1.0])),
    "Geometric": lambda v: D.Geometric(v([0.2, 0.7])),
    "Binomial": lambda v: D.Binomial(20, v([0.0, 0.2, 0.7, 1.0])),
    "Poisson": lambda v: D.Poisson(v([0.2, 7.0])),
    "OneHotCategorical": lambda v: D.OneHotCategorical(v([[0.2, 0.5, 0.3], [1.0, 0.0, 0.0]])),
    "MultivariateNormal": lambda v: D.MultivariateNormal(
        v([1.0, 2.0]), v([[2.0, 0.5], [0.5, 1.0]])
    ),
    "Independent": lambda v: D.Independent(D.Normal(v([0.5, -1.0]), v([2.0, 0.3])), 1),
}


@pytest.mark.parametrize("name", MAKERS)
@where_there_is_a_solver
def test_moments(name, device):
    tl.manual_seed(3)
    made = MAKERS[name](lambda values: t(values, device))
    samples = made.sample((COUNT,))
    assert samples.shape == (COUNT, *made.batch_shape, *made.event_shape)
    assert samples.dtype == np.float32
    assert not samples.requires_grad
    values = on_host(samples).astype(float)
    deviation = on_host(made.stddev)
    mean_error = abs(values.mean(0) - on_host(made.mean))
    assert (mean_error <= 5 * deviation / COUNT**0.5 + 1e-6).all()
    np.testing.assert_allclose(values.std(0), deviation, rtol=0.06, atol=1e-6)
    assert np.isfinite(on_host(made.log_prob(samples[:50]))).all()


def test_frequencies_of_classes(device):
    tl.manual_seed(0)
    made = D.Categorical(t([[0.2, 0.5, 0.3], [0.0, 0.0, 1.0]], device))
    values = on_host(made.sample((COUNT,)))
    assert values.dtype == np.int64
    for i, probs in enumerate(([0.2, 0.5, 0.3], [0, 0, 1])):
        np.testing.assert_allclose(np.bincount(values[:, i], minlength=3) / COUNT, probs, atol=0.01)
    assert made.sample().shape == (2,)
    assert made.sample((3, 4)).shape == (3, 4, 2)


@where_there_is_a_solver
def test_covariance(device):
    tl.manual_seed(0)
    covariance = np.array([[2.0, 0.5, 0.3], [0.5, 1.5, -0.2], [0.3, -0.2, 1.0]])
    inverse = np.linalg.inv(covariance)
    for settings in ({"covariance_matrix": covariance}, {"precision_matrix": inverse}):
        given = {k: t(v, device, "float64") for k, v in settings.items()}
        made = D.MultivariateNormal(tl.zeros(3, dtype="float64", device=device), **given)
        np.testing.assert_allclose(on_host(made.covariance_matrix), covariance, rtol=1e-10)
        np.testing.assert_allclose(on_host(made.precision_matrix), inverse, rtol=1e-9)
        values = on_host(made.sample((COUNT,)))
        np.testing.assert_allclose(np.cov(values.T), covariance, atol=0.06)


@pytest.mark.parametrize("name", MAKERS)
@where_there_is_a_solver
def test_seeds_repeat_samples(name, device):
    found = []
    for _ in range(2):
        tl.manual_seed(11)
        found.append(on_host(MAKERS[name](lambda v: t(v, device)).sample((5,))))
    np.testing.assert_array_equal(*found)


# d E[f(x)] / d parameter, by formula and by the mean over samples.
EXPECTATIONS = {
    "Normal": (D.Normal, [0.5, 2.0], lambda x: x * x, [1.0, 4.0]),
    "Uniform": (D.Uniform, [0.5, 2.0], lambda x: x, [0.5, 0.5]),
    "Exponential": (D.Exponential, [2.0], lambda x: x, [-0.25]),
    "Laplace": (D.Laplace, [0.5, 2.0], lambda x: x * x, [1.0, 8.0]),
    "LogNormal": (D.LogNormal, [0.0, 0.5], lambda x: x, [math.exp(0.125), 0.5 * math.exp(0.125)]),
    "Gamma": (D.Gamma, [3.0, 2.0], lambda x: x, [0.5, -0.75]),
    "Gamma-small": (D.Gamma, [0.2, 1.0], lambda x: x, [1.0, -0.2]),
    "Gamma-large": (D.Gamma, [3000.0, 1.0], lambda x: x, [1.0, -3000.0]),
    "Beta": (D.Beta, [2.0, 3.0], lambda x: x, [3 / 25, -2 / 25]),
    "StudentT": (D.StudentT, [9.0, 1.0, 2.0], lambda x: x * x, [-8 / 49, 2.0, 36 / 7]),
}


@pytest.mark.parametrize("name", EXPECTATIONS)
def test_gradients_of_samples_are_those_of_expectations(name, device):
    tl.manual_seed(5)
    make, values, function, exact = EXPECTATIONS[name]
    given = [tl.tensor(v, dtype="float64", device=device, requires_grad=True) for v in values]
    made = make(*given)
    assert made.has_rsample
    grads = tl.grad(function(made.rsample((COUNT,))).mean(), given)
    np.testing.assert_allclose([g.item() for g in grads], exact, rtol=0.05)


def test_gradients_of_dirichlet_samples(device):
    tl.manual_seed(5)
    c = np.array([0.5, 2.0, 1.0])
    given = tl.tensor(c, device=device, requires_grad=True)
    samples = D.Dirichlet(given).rsample((COUNT,))
    np.testing.assert_allclose(on_host(samples.sum(-1)), 1, rtol=1e-12)
    (grad,) = tl.grad(samples[:, 0].mean(), given)
    total = c.sum()
    np.testing.assert_allclose(on_host(grad), (np.array([total, 0, 0]) - c[0]) / total**2, rtol=0.1)


def test_the_implicit_derivative_is_that_of_the_quantile():
    """At the median and elsewhere: move α, find the same quantile again by bisection."""

    def log_quantile(alpha, p):
        a, low, high = tl.tensor(alpha), np.full_like(alpha, 1e-12), 10 * alpha + 60
        for _ in range(60):
            middle = np.sqrt(low * high)
            below = tl.special.gammainc(a, tl.tensor(middle)).numpy() < p
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return np.log(middle)

    alphas = np.repeat([0.3, 1.0, 4.0, 30.0, 300.0, 1500.0], 3)
    p = np.tile([0.05, 0.5, 0.97], 6)
    step = alphas * 1e-3
    change = log_quantile(alphas + step, p) - log_quantile(alphas - step, p)
    found = _log_slope(alphas, log_quantile(alphas, p))
    np.testing.assert_allclose(found, change / (2 * step), rtol=2e-4)


def test_samples_without_axes(device):
    given = tl.tensor(2.5, device=device, requires_grad=True)
    sample = D.Gamma(given, tl.tensor(1.0, device=device)).rsample()
    assert sample.shape == ()
    (grad,) = tl.grad(sample, given)
    assert grad.item() > 0
    assert D.Beta(0.5, 0.5).sample().shape == ()
    assert D.Binomial(3, tl.tensor(0.5, device=device)).sample().shape == ()


def test_small_concentrations_do_not_vanish(device):
    tl.manual_seed(0)
    gamma = D.Gamma(t([1e-3], device), t([1.0], device)).sample((2000,))
    assert (on_host(gamma) > 0).all()
    beta = D.Beta(t([1e-3], device), t([1e-3], device)).sample((2000,))
    assert np.isfinite(on_host(beta)).all()
    assert abs(on_host(beta).mean() - 0.5) < 0.06
    dirichlet = D.Dirichlet(t([1e-3] * 3, device)).sample((2000,))
    np.testing.assert_allclose(on_host(dirichlet).sum(-1), 1, rtol=1e-5)


@pytest.mark.parametrize("name", MAKERS)
@where_there_is_a_solver
def test_expand(name, device):
    made = MAKERS[name](lambda values: t(values, device))
    larger = made.expand((3, *made.batch_shape))
    assert larger.batch_shape == (3, *made.batch_shape)
    assert larger.event_shape == made.event_shape
    sample = larger.sample((2,))
    assert sample.shape == (2, 3, *made.batch_shape, *made.event_shape)
    np.testing.assert_allclose(
        on_host(larger.log_prob(sample)), on_host(made.log_prob(sample)), rtol=1e-6
    )
    assert larger.mean.shape == (3, *made.mean.shape)


def test_enumerate_support(device):
    assert D.Bernoulli(t([0.2, 0.3], device)).enumerate_support().tolist() == [[0, 0], [1, 1]]
    made = D.Categorical(t([[0.2, 0.8]] * 3, device))
    assert made.enumerate_support(expand=False).tolist() == [[0], [1]]
    assert made.enumerate_support().shape == (2, 3)
    assert D.Binomial(2, t([0.5], device)).enumerate_support().tolist() == [[0], [1], [2]]
    whole = D.OneHotCategorical(t([0.2, 0.8], device)).enumerate_support()
    assert whole.tolist() == [[1, 0], [0, 1]]


def test_policy_gradients_and_actor_critic(device):
    """What REINFORCE needs: log_prob of a sampled action, and the entropy, by the logits."""
    tl.manual_seed(0)
    logits = tl.zeros(4, 3, device=device, requires_grad=True)
    policy = D.Categorical(logits=logits)
    action = policy.sample()
    (policy.log_prob(action).sum() + policy.entropy().sum()).backward()
    expected = np.eye(3)[on_host(action)] - 1 / 3
    np.testing.assert_allclose(on_host(logits.grad), expected, atol=1e-6)


def test_numbers_become_tensors_of_the_default_dtype(device):
    made = D.Normal(0, 1)
    assert made.loc.dtype == np.float32
    assert made.sample().shape == ()
    mixed = D.Normal(0.0, t([1.0, 2.0], device, "float64"))
    assert mixed.loc.dtype == np.float64
    assert mixed.loc.device == device
    assert repr(D.Normal(0.0, 1.0)) == "Normal(loc: 0.0, scale: 1.0)"


class Doubled(D.Normal):
    pass


def test_register_kl(device):
    p, q = Doubled(0.0, 1.0), D.Normal(0.0, 2.0)
    plain = D.kl_divergence(p, q).item()
    assert plain == pytest.approx(0.5 * (0.25 - 1 - math.log(0.25)))

    @D.register_kl(Doubled, D.Normal)
    def kl(p, q):
        return q.loc + 7

    assert D.kl_divergence(p, q).item() == 7
    with pytest.raises(NotImplementedError, match="register_kl"):
        D.kl_divergence(D.Normal(0.0, 1.0), D.Poisson(1.0))
    with pytest.raises(TypeError, match="classes"):
        D.register_kl(int, D.Normal)


def test_transforms_are_inverted_and_cached(device):
    x = t([0.3, -0.5, 1.2], device, "float64")
    for transform in (
        D.ExpTransform(),
        D.SigmoidTransform(),
        D.TanhTransform(),
        D.SoftplusTransform(),
        D.AffineTransform(1.0, -2.0),
        D.StickBreakingTransform(),
        D.ComposeTransform([D.AffineTransform(0.5, 2.0), D.ExpTransform()]),
        D.ReshapeTransform((3,), (3, 1)),
    ):
        y = transform(x)
        assert y.shape == transform.forward_shape(x.shape)
        np.testing.assert_allclose(on_host(transform.inv(y)), on_host(x), rtol=1e-9, atol=1e-12)
        assert transform.inv.inv is transform or isinstance(transform, D.ComposeTransform)
        forth = transform.log_abs_det_jacobian(x, y)
        back = transform.inv.log_abs_det_jacobian(y, x)
        np.testing.assert_allclose(on_host(back), -on_host(forth), rtol=1e-8, atol=1e-10)
    cached = D.TanhTransform(cache_size=1)
    y = cached(x * 100)  # whose inverse is infinite
    assert np.isfinite(on_host(cached.inv(y))).all()
    matrix = t(np.random.default_rng(0).normal(size=(2, 3, 3)), device, "float64")
    lower = D.LowerCholeskyTransform()(matrix)
    assert bool(D.constraints.lower_cholesky.check(lower).all())


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: D.Normal(0.0, -1.0), ValueError, "scale .* must satisfy greater_than"),
        (lambda: D.Normal(math.nan, 1.0), ValueError, "loc .* must satisfy real"),
        (lambda: D.Normal("a", 1.0), ValueError, "numbers or Tensors"),
        (lambda: D.LogNormal(0.0, -1.0), ValueError, "scale"),
        (lambda: D.HalfNormal(-1.0), ValueError, "scale"),
        (lambda: D.Uniform(2.0, 1.0), ValueError, "low must be less"),
        (lambda: D.Gamma(0.0, 1.0), ValueError, "concentration"),
        (lambda: D.Bernoulli(1.5), ValueError, "probs .* interval"),
        (lambda: D.Bernoulli(), ValueError, "either probs or logits"),
        (lambda: D.Bernoulli(0.5, 0.5), ValueError, "either probs or logits"),
        (lambda: D.Geometric(0.0), ValueError, "positive"),
        (lambda: D.Poisson(-1.0), ValueError, "rate"),
        (lambda: D.Binomial(-1, tl.tensor(0.5)), ValueError, "total_count"),
        (lambda: D.Categorical(tl.tensor([-0.5, 1.5])), ValueError, "probs .* simplex"),
        (lambda: D.Categorical(tl.tensor(0.5)), ValueError, "one axis"),
        (lambda: D.Dirichlet(tl.tensor([1.0, 0.0])), ValueError, "concentration"),
        (lambda: D.MultivariateNormal(tl.zeros(2)), ValueError, "give one of"),
        (lambda: D.MultivariateNormal(tl.zeros(2), -tl.eye(2)), ValueError, "positive_definite"),
        (lambda: D.Independent(D.Normal(0.0, 1.0), 1), ValueError, "batch axes"),
        (lambda: D.TransformedDistribution(D.Normal(0.0, 1.0), [3]), ValueError, "Transform"),
        (lambda: D.Normal(0.0, 1.0).log_prob(1.0), ValueError, "take a Tensor"),
        (lambda: D.Gamma(1.0, 1.0).log_prob(tl.tensor(-1.0)), ValueError, "outside the support"),
        (lambda: D.Bernoulli(0.5).log_prob(tl.tensor(0.5)), ValueError, "outside the support"),
        (lambda: D.Dirichlet(tl.ones(2)).log_prob(tl.ones(3) / 3), ValueError, "last axes"),
        (
            lambda: D.Normal(tl.zeros(2), tl.ones(2)).log_prob(tl.zeros(3)),
            ValueError,
            "cannot be broadcast",
        ),
        (lambda: D.Poisson(1.0).rsample(), NotImplementedError, "no rsample"),
        (lambda: D.Distribution.set_default_validate_args(3), ValueError, "True or False"),
    ],
)
def test_what_is_refused(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_checks_can_be_off():
    made = D.Exponential(2.0, validate_args=False)
    assert made.log_prob(tl.tensor(-1.0)).item() == pytest.approx(math.log(2) + 2)
    D.Distribution.set_default_validate_args(False)
    try:
        assert D.Normal(0.0, -1.0).scale.item() == -1
    finally:
        D.Distribution.set_default_validate_args(True)
