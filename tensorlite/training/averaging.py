"""The average of a model's weights over the steps of its training: what is evaluated and saved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tensorlite.nn.module import Module
from tensorlite.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

__all__ = ["Averaged", "best_weights"]


class Averaged:
    """An exponential moving average of weights: ``decay`` of it, and the rest of the present ones.

    Parameters
    ----------
    model
        Whose weights; they lie where they will be trained. Its buffers (the statistics of batch
        norm) are averages already, and are copied.
    decay
        From 0 to below 1: about ``1 / (1 - decay)`` steps count.

    Raises
    ------
    ValueError
        If `decay` is no such number.
    TypeError
        If the model cannot be copied.
    """

    def __init__(self, model: Module, decay: float) -> None:
        if isinstance(decay, bool) or not isinstance(decay, int | float) or not 0 <= decay < 1:
            raise ValueError(f"ema is a decay from 0 to below 1, such as 0.999, not {decay!r}")
        self.decay = float(decay)
        try:
            self._average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(self.decay))
        except TypeError as error:
            raise TypeError(f"ema copies the model, which cannot be copied: {error}") from error

    @property
    def model(self) -> Module:
        """A model with the averaged weights."""
        return self._average.module

    def update(self, model: Module) -> None:
        """Take the weights after a step into the average; those of the first step begin it."""
        self._average.update_parameters(model)

    def state_dict(self) -> dict[str, Any]:
        """The averages, how many steps are in them, and the decay."""
        steps = int(self._average.n_averaged)
        return {"decay": self.decay, "steps": steps, "model": self.model.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state_dict`.

        Raises
        ------
        ValueError
            If its decay is another.
        """
        if state["decay"] != self.decay:
            raise ValueError(
                f"the run averages its weights with ema={state['decay']}; here it is {self.decay}"
            )
        self.model.load_state_dict(state["model"])
        self._average.n_averaged.array[...] = state["steps"]


def best_weights(checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    """The weights of a checkpoint that its losses and metrics are of: the averaged, if any."""
    averaged = checkpoint["averaged"]
    return checkpoint["model"] if averaged is None else averaged["model"]
