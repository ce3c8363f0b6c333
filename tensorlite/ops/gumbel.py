"""Samples of a categorical distribution through which gradients flow."""

from __future__ import annotations

import numpy as np

from tensorlite.backend import array_backend
from tensorlite.backend.dtypes import is_floating
from tensorlite.ops.faces import takes_axis
from tensorlite.ops.softmax import softmax
from tensorlite.random import Generator, default_generator
from tensorlite.tensor import Tensor, tensor_of

__all__ = ["gumbel_softmax"]


@takes_axis
def gumbel_softmax(
    logits: Tensor,
    tau: float = 1,
    hard: bool = False,
    eps: float = 1e-10,
    dim: int = -1,
    *,
    generator: Generator = default_generator,
) -> Tensor:
    """Softmax of (logits + noise) / tau, with noise from Gumbel's distribution (Jang et al. 2017).

    Parameters
    ----------
    logits
        Logarithms of probabilities, not normalised.
    tau
        Temperature: the lower, the nearer to one-hot.
    hard
        Whether the result is one-hot at the largest; the gradient is that of the soft sample.
    eps
        Without effect, as in torch.
    dim
        Axis of the classes.
    generator
        Where the noise comes from.

    Returns
    -------
    Tensor
        Of `logits`'s shape.

    Raises
    ------
    TypeError
        If `logits` are not floats.

    Examples
    --------
    >>> F.gumbel_softmax(tl.tensor([0.0, 1000.0]), hard=True)
    tensor([0., 1.])
    """
    if not is_floating(logits.dtype):
        raise TypeError(f"gumbel_softmax: {logits.dtype} logits are no floats: use logits.float()")
    backend = array_backend((logits.array,))
    xp, shape = backend.xp, tuple(logits.shape)
    wide = np.float64 if logits.dtype == np.float64 else np.float32
    uniform = generator.uniform(shape, wide, backend.device_of(logits.array))
    # In the middle of the steps that uniform numbers have: the logarithms are finite.
    uniform = uniform + (2.0**-54 if wide == np.float64 else 2.0**-25)
    noise = backend.cast(-xp.log(-xp.log(uniform)), logits.dtype)
    soft = softmax((logits + tensor_of(noise)) / tau, axis=dim)
    if not hard:
        return soft
    raw = soft.array
    largest = xp.expand_dims(raw.argmax(axis=dim), dim)
    places = xp.arange(raw.shape[dim]).reshape(
        [-1 if i == dim % raw.ndim else 1 for i in range(raw.ndim)]
    )
    one_hot = tensor_of((places == largest).astype(raw.dtype))
    return one_hot - soft.detach() + soft
