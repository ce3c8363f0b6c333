"""All parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from tensorlite.ops.joining import concat
from tensorlite.tape import no_grad
from tensorlite.tensor import Tensor

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """Join parameters, each in row order, to one Tensor of one axis; gradients pass.

    Parameters
    ----------
    parameters : iterable of Tensor
        Of any shapes.

    Returns
    -------
    Tensor, shape (n,)

    Raises
    ------
    TypeError
        If they are not all on one device.

    Examples
    --------
    >>> nn.utils.parameters_to_vector(nn.Linear(4, 3).parameters()).shape
    (15,)
    """
    parameters = list(parameters)
    _check_devices(parameters)
    return concat([parameter.reshape(-1) for parameter in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Write the elements of a vector into parameters, one after another, in place.

    Raises
    ------
    TypeError
        If `vec` is no Tensor, or they are not all on one device.
    RuntimeError
        If the vector has too few elements.

    Examples
    --------
    >>> layer = nn.Linear(4, 3)
    >>> nn.utils.vector_to_parameters(tl.zeros(15), layer.parameters())
    >>> layer.bias.tolist()
    [0.0, 0.0, 0.0]
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected torch.Tensor, but got: {type(vec).__name__}")
    parameters = list(parameters)
    _check_devices(parameters)
    needed = sum(parameter.numel() for parameter in parameters)
    if vec.ndim != 1 or vec.numel() < needed:
        raise RuntimeError(
            f"vector_to_parameters: a vector of shape {vec.shape} for {needed} elements"
        )
    values, start = vec.detach(), 0
    with no_grad():
        for parameter in parameters:
            end = start + parameter.numel()
            parameter.copy_(values[start:end].reshape(parameter.shape))
            start = end


def _check_devices(parameters: list[Tensor]) -> None:
    places = {str(parameter.device) for parameter in parameters}
    if len(places) > 1:
        raise TypeError(
            "Found two parameters on different devices, this is currently not supported: "
            + ", ".join(sorted(places))
        )
