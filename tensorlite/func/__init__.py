"""Functions made of functions, as in ``torch.func``: gradients, Jacobians, batches, modules.

They nest in any order, and work beside `backward`. Arguments may be Tensors in tuples, lists and
dictionaries.
"""

from tensorlite.func.batches import vmap
from tensorlite.func.modules import functional_call, stack_module_state
from tensorlite.func.transforms import (
    grad,
    grad_and_value,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    linearize,
    vjp,
)
from tensorlite.unknown import answers_for

__all__ = [
    "functional_call",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "stack_module_state",
    "vjp",
    "vmap",
]

__getattr__ = answers_for(__name__)
