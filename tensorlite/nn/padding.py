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
    """Pads the last axis with one value.

    Input (N, C, L) or (C, L), with any number of leading axes.

    Parameters
    ----------
    padding : int or tuple of int
        Widths (left, right), negative ones cut; one number stands for all.
    value : float
        What is written there.

    Raises
    ------
    ValueError
        If `padding` has another number of widths.

    Examples
    --------
    >>> nn.ConstantPad1d(2, 0.5)(tl.tensor([[1.0, 2.0, 3.0]]))
    tensor([[0.5, 0.5, 1. , 2. , 3. , 0.5, 0.5]])
    """

    _axes = 1


class ConstantPad2d(_ConstantPad):
    """Pads the last two axes with one value.

    Input (N, C, H, W) or (C, H, W), with any number of leading axes.

    Parameters
    ----------
    padding : int or tuple of int
        Widths (left, right, top, bottom), negative ones cut; one number stands for all.
    value : float
        What is written there.

    Raises
    ------
    ValueError
        If `padding` has another number of widths.

    Examples
    --------
    >>> nn.ConstantPad2d(1, 0.5)(tl.zeros(1, 3, 8, 8)).shape
    (1, 3, 10, 10)
    """

    _axes = 2


class ConstantPad3d(_ConstantPad):
    """Pads the last three axes with one value.

    Input (N, C, D, H, W) or (C, D, H, W), with any number of leading axes.

    Parameters
    ----------
    padding : int or tuple of int
        Widths (left, right, top, bottom, front, back), negative ones cut; one number stands for
        all.
    value : float
        What is written there.

    Raises
    ------
    ValueError
        If `padding` has another number of widths.

    Examples
    --------
    >>> nn.ConstantPad3d(1, 0.5)(tl.zeros(1, 3, 8, 8, 8)).shape
    (1, 3, 10, 10, 10)
    """

    _axes = 3


class ZeroPad1d(_ZeroPad):
    """Pads the last axis with zeros.

    Input (N, C, L) or (C, L), with any number of leading axes.

    Parameters
    ----------
    padding : int or tuple of int
        Widths (left, right), negative ones cut; one number stands for all.

    Raises
    ------
    ValueError
        If `padding` has another number of widths.

    Examples
    --------
    >>> nn.ZeroPad1d(2)(tl.tensor([[1.0, 2.0, 3.0]]))
    tensor([[0., 0., 1., 2., 3., 0., 0.]])
    """

    _axes = 1


class ZeroPad2d(_ZeroPad):
    """Pads the last two axes with zeros.

    Input (N, C, H, W) or (C, H, W), with any number of leading axes.

    Parameters
    ----------
    padding : int or tuple of int
        Widths (left, right, top, bottom), negative ones cut; one number stands for all.

    Raises
    ------
    ValueError
        If `padding` has another number of widths.

    Examples
    --------
    >>> nn.ZeroPad2d(1)(tl.zeros(1, 3, 8, 8)).shape
    (1, 3, 10, 10)
    """

    _axes = 2


class ZeroPad3d(_ZeroPad):
    """Pads the last three axes with zeros.

    Input (N, C, D, H, W) or (C, D, H, W), with any number of leading axes.

    Parameters
    ----------
    padding : int or tuple of int
        Widths (left, right, top, bottom, front, back), negative ones cut; one number stands for
        all.

    Raises
    ------
    ValueError
        If `padding` has another number of widths.

    Examples
    --------
    >>> nn.ZeroPad3d(1)(tl.zeros(1, 3, 8, 8, 8)).shape
    (1, 3, 10, 10, 10)
    """

    _axes = 3


class CircularPad1d(_CircularPad):
    """Pads the last axis with the values of the other end.

    Input (N, C, L) or (C, L).

    Parameters
    ----------
    padding : int or tuple of int
        Widths (left, right), negative ones cut; one number stands for all.

    Raises
    ------
    ValueError
        If `padding` has another number of widths.

    Examples
    --------
    >>> nn.CircularPad1d(2)(tl.tensor([[1.0, 2.0, 3.0]]))
    tensor([[2., 3., 1., 2., 3., 1., 2.]])
    """

    _axes = 1


class CircularPad2d(_CircularPad):
    """Pads the last two axes with the values of the other end.

    Input (N, C, H, W) or (C, H, W).

    Parameters
    ----------
    padding : int or tuple of int
        Widths (left, right, top, bottom), negative ones cut; one number stands for all.

    Raises
    ------
    ValueError
        If `padding` has another number of widths.

    Examples
    --------
    >>> nn.CircularPad2d(1)(tl.zeros(1, 3, 8, 8)).shape
    (1, 3, 10, 10)
    """

    _axes = 2


class CircularPad3d(_CircularPad):
    """Pads the last three axes with the values of the other end.

    Input (N, C, D, H, W) or (C, D, H, W).

    Parameters
    ----------
    padding : int or tuple of int
        Widths (left, right, top, bottom, front, back), negative ones cut; one number stands for
        all.

    Raises
    ------
    ValueError
        If `padding` has another number of widths.

    Examples
    --------
    >>> nn.CircularPad3d(1)(tl.zeros(1, 3, 8, 8, 8)).shape
    (1, 3, 10, 10, 10)
    """

    _axes = 3


class ReflectionPad1d(_ReflectionPad):
    """Pads the last axis with the values in reverse, the border's once.

    Input (N, C, L) or (C, L).

    Parameters
    ----------
    padding : int or tuple of int
        Widths (left, right), negative ones cut; one number stands for all.

    Raises
    ------
    ValueError
        If `padding` has another number of widths.

    Examples
    --------
    >>> nn.ReflectionPad1d(2)(tl.tensor([[1.0, 2.0, 3.0]]))
    tensor([[3., 2., 1., 2., 3., 2., 1.]])
    """

    _axes = 1


class ReflectionPad2d(_ReflectionPad):
    """Pads the last two axes with the values in reverse, the border's once.

    Input (N, C, H, W) or (C, H, W).

    Parameters
    ----------
    padding : int or tuple of int
        Widths (left, right, top, bottom), negative ones cut; one number stands for all.

    Raises
    ------
    ValueError
        If `padding` has another number of widths.

    Examples
    --------
    >>> nn.ReflectionPad2d(1)(tl.zeros(1, 3, 8, 8)).shape
    (1, 3, 10, 10)
    """

    _axes = 2


class ReflectionPad3d(_ReflectionPad):
    """Pads the last three axes with the values in reverse, the border's once.

    Input (N, C, D, H, W) or (C, D, H, W).

    Parameters
    ----------
    padding : int or tuple of int
        Widths (left, right, top, bottom, front, back), negative ones cut; one number stands for
        all.

    Raises
    ------
    ValueError
        If `padding` has another number of widths.

    Examples
    --------
    >>> nn.ReflectionPad3d(1)(tl.zeros(1, 3, 8, 8, 8)).shape
    (1, 3, 10, 10, 10)
    """

    _axes = 3


class ReplicationPad1d(_ReplicationPad):
    """Pads the last axis with the value of the border.

    Input (N, C, L) or (C, L).

    Parameters
    ----------
    padding : int or tuple of int
        Widths (left, right), negative ones cut; one number stands for all.

    Raises
    ------
    ValueError
        If `padding` has another number of widths.

    Examples
    --------
    >>> nn.ReplicationPad1d(2)(tl.tensor([[1.0, 2.0, 3.0]]))
    tensor([[1., 1., 1., 2., 3., 3., 3.]])
    """

    _axes = 1


class ReplicationPad2d(_ReplicationPad):
    """Pads the last two axes with the value of the border.

    Input (N, C, H, W) or (C, H, W).

    Parameters
    ----------
    padding : int or tuple of int
        Widths (left, right, top, bottom), negative ones cut; one number stands for all.

    Raises
    ------
    ValueError
        If `padding` has another number of widths.

    Examples
    --------
    >>> nn.ReplicationPad2d(1)(tl.zeros(1, 3, 8, 8)).shape
    (1, 3, 10, 10)
    """

    _axes = 2


class ReplicationPad3d(_ReplicationPad):
    """Pads the last three axes with the value of the border.

    Input (N, C, D, H, W) or (C, D, H, W).

    Parameters
    ----------
    padding : int or tuple of int
        Widths (left, right, top, bottom, front, back), negative ones cut; one number stands for
        all.

    Raises
    ------
    ValueError
        If `padding` has another number of widths.

    Examples
    --------
    >>> nn.ReplicationPad3d(1)(tl.zeros(1, 3, 8, 8, 8)).shape
    (1, 3, 10, 10, 10)
    """

    _axes = 3
