"""Batches of sequences of different lengths: padded to the longest, or packed without padding.

A packed batch has all first steps behind one another, then all second ones, and so on, with the
sequences from the longest to the shortest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tensorlite.backend import array_backend
from tensorlite.ops.convert import to as converted
from tensorlite.ops.creation import full
from tensorlite.ops.joining import cat, stack
from tensorlite.tensor import Tensor, tensor_of
from tensorlite.unknown import answers_for

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]


class _Packed(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


class PackedSequence(_Packed):
    """A batch of sequences without padding, as recurrent layers read it.

    Attributes
    ----------
    data : Tensor, shape (sum of the lengths, …)
        All first steps, then all second ones, and so on.
    batch_sizes : Tensor of int64, on the CPU
        How many sequences take part in each step.
    sorted_indices, unsorted_indices : Tensor of int64, or None
        The order from the longest to the shortest, and the way back; None if they came so.

    Examples
    --------
    >>> packed = nn.utils.rnn.pack_sequence([tl.tensor([1.0, 2.0, 3.0]), tl.tensor([4.0])])
    >>> packed.data, packed.batch_sizes
    (tensor([1., 4., 2., 3.]), tensor([2, 1, 1]))
    >>> packed.to("cpu").double().float().half().data.dtype
    dtype('float16')
    >>> packed.long().int().cpu().pin_memory().is_cuda
    False
    >>> packed.is_pinned()
    False
    >>> if tl.cuda.is_available():
    ...     packed = packed.cuda()
    """

    __slots__ = ()

    def __new__(
        cls,
        data: Any,
        batch_sizes: Tensor | None = None,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> PackedSequence:
        """Make one of its parts, which `pack_padded_sequence` knows."""
        if batch_sizes is None:  # both as one pair
            data, batch_sizes = data
        if not isinstance(batch_sizes, Tensor):
            raise TypeError("PackedSequence: batch_sizes is a Tensor; use pack_padded_sequence")
        if batch_sizes.device.type != "cpu":
            raise ValueError(
                f"PackedSequence: batch_sizes should always be on CPU, not on {batch_sizes.device}"
            )
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """Move, or cast, the data; the batch sizes stay."""
        data = self.data.to(*args, **kwargs)
        if data is self.data:
            return self
        places = [
            None if indices is None else converted(indices, data.device) for indices in self[2:]
        ]
        return type(self)(data, self.batch_sizes, *places)

    def cuda(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """Move to a CUDA device."""
        index = args[0] if args and isinstance(args[0], int) else 0
        return self.to(f"cuda:{index}")

    def cpu(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """Move to the CPU."""
        return self.to("cpu")

    def double(self) -> PackedSequence:
        """Cast the data to float64."""
        return self.to("float64")

    def float(self) -> PackedSequence:
        """Cast the data to float32."""
        return self.to("float32")

    def half(self) -> PackedSequence:
        """Cast the data to float16."""
        return self.to("float16")

    def long(self) -> PackedSequence:
        """Cast the data to int64."""
        return self.to("int64")

    def int(self) -> PackedSequence:
        """Cast the data to int32."""
        return self.to("int32")

    def pin_memory(self) -> PackedSequence:
        """Return the batch itself: copies to a device pin what they need."""
        return self

    def is_pinned(self) -> bool:
        """Whether the data is in pinned memory."""
        return False

    @property
    def is_cuda(self) -> bool:
        """Whether the data is on a CUDA device."""
        return self.data.device.type == "cuda"


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes another one; None undoes None.

    Parameters
    ----------
    permutation : integer Tensor, shape (n,), or None

    Returns
    -------
    Tensor of int64, shape (n,), or None

    Examples
    --------
    >>> nn.utils.rnn.invert_permutation(tl.tensor([2, 0, 1]))
    tensor([1, 2, 0])
    """
    if permutation is None:
        return None
    order = np.asarray(array_backend((permutation.array,)).to_host(permutation.array))
    inverse = np.empty_like(order)
    inverse[order] = np.arange(order.size)
    return _placed(inverse, permutation)


def _placed(indices: np.ndarray, like: Tensor) -> Tensor:
    """Integers as a Tensor on the device of another one."""
    return converted(tensor_of(np.asarray(indices, np.int64)), like.device)


def _as_lengths(lengths: Any) -> np.ndarray:
    if isinstance(lengths, Tensor):
        if lengths.device.type != "cpu":
            raise RuntimeError("lengths should be a list or a Tensor on the CPU: lengths.cpu()")
        lengths = lengths.array
    found = np.asarray(list(lengths) if not isinstance(lengths, np.ndarray) else lengths)
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise RuntimeError(f"lengths must be whole numbers along one axis, not {lengths!r}")
    return found.astype(np.int64)


def pack_padded_sequence(
    input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Leave the padding of a batch out.

    Parameters
    ----------
    input : Tensor, shape (L, N, …), with `batch_first` (N, L, …)
    lengths : list of int or Tensor on the CPU
        Length of each sequence.
    batch_first
        Whether the batch is the first axis.
    enforce_sorted
        Whether the lengths must be decreasing. Otherwise the sequences are sorted, and recurrent
        layers give their states back in the order of `input`.

    Raises
    ------
    RuntimeError
        If lengths are not positive, not decreasing as promised, longer than L, or not N.

    Examples
    --------
    >>> x = tl.randn(3, 5, 8)
    >>> packed = pack_padded_sequence(x, [5, 3, 2], batch_first=True)
    >>> output, h = nn.GRU(8, 16, batch_first=True)(packed)
    >>> output, lengths = pad_packed_sequence(output, batch_first=True)
    """
    found = _as_lengths(lengths)
    if input.ndim < 2:
        raise RuntimeError(f"pack_padded_sequence: input of shape {input.shape} is no batch")
    batch, steps = (0, 1) if batch_first else (1, 0)
    n, longest = input.shape[batch], input.shape[steps]
    if found.size != n:
        raise RuntimeError(
            f"Expected `len(lengths)` to be equal to batch_size, but got {found.size} "
            f"(batch_size={n})"
        )
    if n == 0:
        raise RuntimeError("Cannot pack empty tensors: the batch has no sequences.")
    if found.min() <= 0:
        raise RuntimeError(
            f"Length of all samples has to be greater than 0, but found {found.min()} in 'lengths'"
        )
    order = None
    if not enforce_sorted:
        order = np.argsort(-found, kind="stable")
        found = found[order]
    elif np.any(found[1:] > found[:-1]):
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You "
            "can pass `enforce_sorted=False` to pack_padded_sequence and/or pack_sequence"
        )
    if found[0] > longest:
        raise RuntimeError(
            f"pack_padded_sequence: a length of {found[0]}, but input of shape {input.shape} has "
            f"{longest} steps"
        )
    sizes = _sizes(found)
    step, place = _rows(sizes)
    place = place if order is None else order[place]
    rows = place * longest + step if batch_first else step * n + place
    data = input.reshape(n * longest, *input.shape[2:])[_placed(rows, input)]
    sorted_indices = None if order is None else _placed(order, input)
    return PackedSequence(data, tensor_of(sizes), sorted_indices, None)


def _sizes(lengths: np.ndarray) -> np.ndarray:
    """How many sequences take part in each step, of decreasing lengths."""
    counts = np.bincount(lengths, minlength=lengths[0] + 1)
    return lengths.size - np.cumsum(counts)[:-1]


def _rows(sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each row of a packed batch the step, and the place of its sequence among all."""
    step = np.repeat(np.arange(sizes.size), sizes)
    starts = np.cumsum(sizes) - sizes
    return step, np.arange(step.size) - np.repeat(starts, sizes)


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Pad a packed batch: the inverse of `pack_padded_sequence`.

    Parameters
    ----------
    sequence
        What was packed, or a recurrent layer's output.
    batch_first
        Whether the result's first axis is the batch.
    padding_value
        What stands behind the end of each sequence.
    total_length
        Number of steps; by default that of the longest sequence.

    Returns
    -------
    padded : Tensor, shape (L, N, …), with `batch_first` (N, L, …)
    lengths : Tensor of int64, shape (N,), on the CPU

    Raises
    ------
    ValueError
        If `total_length` is less than the longest sequence.

    Examples
    --------
    >>> packed = nn.utils.rnn.pack_sequence([tl.tensor([1.0, 2.0]), tl.tensor([3.0])])
    >>> nn.utils.rnn.pad_packed_sequence(packed, batch_first=True)
    (tensor([[1., 2.],
            [3., 0.]]), tensor([2, 1]))
    """
    data, batch_sizes, _, unsorted = sequence
    sizes = np.asarray(batch_sizes.array)
    longest, n = sizes.size, int(sizes[0])
    steps = longest if total_length is None else total_length
    if steps < longest:
        raise ValueError(
            "Expected total_length to be at least the length of the longest sequence in input, "
            f"but got total_length={total_length} and max sequence length being {longest}"
        )
    step, place = _rows(sizes)
    lengths = np.bincount(place, minlength=n)
    rows = np.full((steps, n), step.size)  # the row of padding, put behind the others
    rows[step, place] = np.arange(step.size)
    if unsorted is not None:
        back = np.asarray(array_backend((unsorted.array,)).to_host(unsorted.array))
        rows, lengths = rows[:, back], lengths[back]
    padding = full((1, *data.shape[1:]), padding_value, dtype=data.dtype, device=data.device)
    padded = cat([data, padding])[_placed(rows.T if batch_first else rows, data)]
    return padded, tensor_of(lengths.astype(np.int64))


def pad_sequence(
    sequences: Iterable[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Pad sequences (Lₙ, …) to the longest, as one Tensor (L, N, …) or (N, L, …).

    Parameters
    ----------
    sequences : iterable of Tensor
    batch_first : bool
        Whether the result's first axis is the batch.
    padding_value : float
        What stands at the end, or the beginning, of each sequence.
    padding_side : {"right", "left"}

    Returns
    -------
    Tensor

    Raises
    ------
    RuntimeError
        If there are no sequences, or no such side.

    Examples
    --------
    >>> nn.utils.rnn.pad_sequence([tl.tensor([1, 2]), tl.tensor([3])], batch_first=True)
    tensor([[1, 2],
            [3, 0]])
    """
    if padding_side not in ("right", "left"):
        raise RuntimeError(f"padding_side is 'right' or 'left', not {padding_side!r}")
    if isinstance(sequences, Tensor):
        sequences = [sequences[i] for i in range(len(sequences))]
    sequences = list(sequences)
    if not sequences:
        raise RuntimeError("received an empty list of sequences")
    longest = max(sequence.shape[0] for sequence in sequences)
    padded = []
    for sequence in sequences:
        missing = longest - sequence.shape[0]
        if missing:
            shape = (missing, *sequence.shape[1:])
            padding = full(shape, padding_value, dtype=sequence.dtype, device=sequence.device)
            pair = [sequence, padding] if padding_side == "right" else [padding, sequence]
            sequence = cat(pair)
        padded.append(sequence)
    return stack(padded, 0 if batch_first else 1)


def unpad_sequence(
    padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False
) -> list[Tensor]:
    """Cut a padded batch into its sequences (Lₙ, …).

    Parameters
    ----------
    padded_sequences : Tensor, shape (L, N, ...) or (N, L, ...)
    lengths : Tensor of int64, shape (N,), on the CPU
    batch_first : bool
        Whether the first axis is the batch.

    Returns
    -------
    list of Tensor

    Raises
    ------
    RuntimeError
        If the lengths are no integers along one axis, or on another device.

    Examples
    --------
    >>> padded, lengths = tl.tensor([[1, 2], [3, 0]]), tl.tensor([2, 1])
    >>> nn.utils.rnn.unpad_sequence(padded, lengths, batch_first=True)
    [tensor([1, 2]), tensor([3])]
    """
    if not batch_first:
        padded_sequences = padded_sequences.swapaxes(0, 1)
    return [padded_sequences[i, :n] for i, n in enumerate(_as_lengths(lengths).tolist())]


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Pack sequences (Lₙ, …); they must come from the longest if `enforce_sorted`.

    Parameters
    ----------
    sequences : sequence of Tensor
    enforce_sorted : bool
        As above.

    Returns
    -------
    PackedSequence

    Examples
    --------
    >>> nn.utils.rnn.pack_sequence([tl.tensor([1.0, 2.0]), tl.tensor([3.0])]).data
    tensor([1., 3., 2.])
    """
    lengths = [sequence.shape[0] for sequence in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """Cut a packed batch into its sequences (Lₙ, …), in the order in which they came.

    Parameters
    ----------
    packed_sequences : PackedSequence

    Returns
    -------
    list of Tensor

    Examples
    --------
    >>> packed = nn.utils.rnn.pack_sequence([tl.tensor([1.0, 2.0]), tl.tensor([3.0])])
    >>> nn.utils.rnn.unpack_sequence(packed)
    [tensor([1., 2.]), tensor([3.])]
    """
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)


__getattr__ = answers_for(__name__)
