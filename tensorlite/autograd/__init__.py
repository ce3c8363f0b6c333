"""Automatic differentiation: gradients, your own functions, derivatives of functions, checks."""

from tensorlite.autograd import functional
from tensorlite.autograd.anomaly import detect_anomaly, set_detect_anomaly
from tensorlite.autograd.function import Function, FunctionCtx, once_differentiable
from tensorlite.autograd.functional import hessian, hvp, jacobian, jvp, vhp, vjp
from tensorlite.autograd.gradcheck import GradcheckError, gradcheck, gradgradcheck
from tensorlite.differentiate import grad
from tensorlite.gradients import backward_of_all as backward
from tensorlite.tape import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from tensorlite.tensor import Tensor
from tensorlite.unknown import answers_for

__all__ = [
    "Function",
    "FunctionCtx",
    "GradcheckError",
    "Variable",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "hessian",
    "hvp",
    "inference_mode",
    "is_grad_enabled",
    "jacobian",
    "jvp",
    "no_grad",
    "once_differentiable",
    "set_detect_anomaly",
    "set_grad_enabled",
    "vhp",
    "vjp",
]


def Variable(data: Tensor, requires_grad: bool = False) -> Tensor:
    """A Tensor, as it has been called since torch 0.4: the same values as a new leaf.

    Parameters
    ----------
    data : Tensor
        Of any shape.

    Returns
    -------
    Tensor
        Of the same shape and dtype.

    Examples
    --------
    >>> tl.autograd.Variable(tl.zeros(2), requires_grad=True)
    tensor([0., 0.], requires_grad=True)
    """
    return data.detach().requires_grad_(requires_grad) if requires_grad else data.detach()


__getattr__ = answers_for(__name__)
