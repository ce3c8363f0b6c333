"""Adapters of the optimizers' update rules, on the formulas that our optimizers run."""

from __future__ import annotations

from onnx_vectors import NotCovered, adapts
from tensorlite.backend import array_backend
from tensorlite.optim import SGD, Adagrad, Adam
from tensorlite.optim.flat import Numbers
from tensorlite.tensor import tensor_of


def updated(optimizer, tensors, names, hyper):
    """New parameters and states; `tensors` is all parameters, all gradients, all of each state."""
    groups = 2 + len(names)
    count = len(tensors) // groups
    results = []
    for i in range(count):
        p, g, *states = [tensors[k * count + i].array.copy() for k in range(groups)]
        state = dict(zip(names, states, strict=True))
        optimizer.reference(optimizer, array_backend((p,)).xp, p, g, state, hyper)
        results.append([p, *states])
    return [tensor_of(array) for kind in zip(*results, strict=True) for array in kind]


@adapts("Adam")
def adam(
    rate,
    count,
    *tensors,
    alpha=0.9,
    beta=0.999,
    epsilon=0.0,
    norm_coefficient=0.0,
    norm_coefficient_post=0.0,
):
    if count.item() or norm_coefficient_post:
        raise NotCovered("eps inside the correction, or a second decay")
    hyper = Numbers(
        lr=rate.item(),
        decay=norm_coefficient,
        beta1=alpha,
        beta2=beta,
        eps=epsilon,
        correction1=1.0,
        correction2=1.0,
        decoupled=False,
    )
    return updated(Adam, tensors, ("exp_avg", "exp_avg_sq"), hyper)


@adapts("Adagrad")
def adagrad(rate, count, *tensors, decay_factor=0.0, epsilon=0.0, norm_coefficient=0.0):
    settings = {"lr": rate.item(), "lr_decay": decay_factor}
    lr = Adagrad.learning_rate(Adagrad, settings, count.item() + 1)
    hyper = Numbers(lr=lr, decay=norm_coefficient, eps=epsilon)
    return updated(Adagrad, tensors, Adagrad.state_names, hyper)


@adapts("Momentum")
def momentum(rate, count, *tensors, alpha, beta, mode, norm_coefficient):
    dampening = 1 - (beta if count.item() else 1)
    hyper = Numbers(
        lr=rate.item(),
        decay=norm_coefficient,
        momentum=alpha,
        dampening=dampening,
        nesterov=mode == "nesterov",
        first=False,
    )
    return updated(SGD, tensors, SGD.state_names, hyper)
