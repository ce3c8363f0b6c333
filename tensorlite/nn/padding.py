"""Padding of the last one, two or three axes."""

from __future__ import annotations

from tensorlite.nn import functional as F
from tensorlite.nn.arguments import per_axis
from tensorlite.nn.module import Module
from tensorlite.tensor import Tensor


class _Pad(Module):
    """Widths of both sides of each axis, from the last one; one number stands for all."""

    _axes: int
    _mode: str

    def __init__(self, padding: int | tuple[int, ...]) -> None:
        super().__init__()
        self.padding = per_axis(padding, 2 * self._axes)
        if len(self.padding) != 2 * self._axes:
            raise ValueError(
                f"{type(self).__name__}: padding {self.padding} should have {2 * self._axes} "
                "numbers: both sides of each axis, from the last one"
            )

    def forward(self, input: Tensor) -> Tensor:
        """Return a larger Tensor, or a smaller one where a width is negative."""
        return F.pad(input, self.padding, self._mode)

    def extra_repr(self) -> str:
        """The widths."""
        return f"{self.padding}"


class _ConstantPad(_Pad):
    def __init__(self, padding: int | tuple[int, ...], value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        """Return a larger Tensor, or a smaller one where a width is negative."""
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        """The widths and the value."""
        return f"padding={self.padding}, value={self.value}"


class _ZeroPad(_ConstantPad):
    def __init__(self, padding: int | tuple[int, ...]) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        """The widths."""
        return f"{self.padding}"


class _CircularPad(_Pad):
    _mode = "circular"

    def forward(self, input: Tensor) -> Tensor:
        """Return a larger Tensor."""
        if input.ndim not in (self._axes + 1, self._axes + 2):
            raise ValueError(
                f"{type(self).__name__}: input of shape {input.shape}; it must have "
                f"{self._axes + 1} or {self._axes + 2} axes"
            )
        return super().forward(input)


class _ReflectionPad(_Pad):
    _mode = "reflect"


class _ReplicationPad(_Pad):
    _mode = "replicate"


class ConstantPad1d(_ConstantPad):
    """Pads the last axis with one value."""

    _axes = 1


class ConstantPad2d(_ConstantPad):
    """Pads the last two axes with one value."""

    _axes = 2


class ConstantPad3d(_ConstantPad):
    """Pads the last three axes with one value."""

    _axes = 3


class ZeroPad1d(_ZeroPad):
    """Pads the last axis with zeros."""

    _axes = 1


class ZeroPad2d(_ZeroPad):
    """Pads the last two axes with zeros."""

    _axes = 2


class ZeroPad3d(_ZeroPad):
    """Pads the last three axes with zeros."""

    _axes = 3


class CircularPad1d(_CircularPad):
    """Pads the last axis with the values of the other end."""

    _axes = 1


class CircularPad2d(_CircularPad):
    """Pads the last two axes with the values of the other end."""

    _axes = 2


class CircularPad3d(_CircularPad):
    """Pads the last three axes with the values of the other end."""

    _axes = 3


class ReflectionPad1d(_ReflectionPad):
    """Pads the last axis with the values in reverse, the border's once."""

    _axes = 1


class ReflectionPad2d(_ReflectionPad):
    """Pads the last two axes with the values in reverse, the border's once."""

    _axes = 2


class ReflectionPad3d(_ReflectionPad):
    """Pads the last three axes with the values in reverse, the border's once."""

    _axes = 3


class ReplicationPad1d(_ReplicationPad):
    """Pads the last axis with the value of the border."""

    _axes = 1


class ReplicationPad2d(_ReplicationPad):
    """Pads the last two axes with the value of the border."""

    _axes = 2


class ReplicationPad3d(_ReplicationPad):
    """Pads the last three axes with the value of the border."""

    _axes = 3
