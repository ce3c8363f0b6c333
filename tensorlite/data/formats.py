"""Binary formats of image datasets, decoded from bytes in memory."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["decode_cifar10", "decode_idx"]

IDX_UINT8 = 0x08
CIFAR_SHAPE = (3, 32, 32)
CIFAR_LARGEST = 1 << 28  # bytes of the archive, unpacked; it is 184 million
CIFAR_RECORD = 1 + 3 * 32 * 32  # one label byte, then the image by channel, row, column


def decode_idx(content: bytes) -> np.ndarray:
    """Decode an IDX file of unsigned bytes, the format of MNIST.

    Two zero bytes, a type code, the number of axes, every axis as a big-endian 32-bit integer,
    then the values in C order.

    Returns
    -------
    numpy.ndarray
        Values as uint8; a view of `content`, hence read-only.

    Raises
    ------
    ValueError
        If the header is not one of unsigned bytes or the length does not fit it.
    """
    if len(content) < 4 or content[:3] != bytes((0, 0, IDX_UINT8)):
        raise ValueError(f"not an IDX file of unsigned bytes: it begins with {content[:4].hex()}")
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise ValueError(f"IDX file of {content[3]} axes ends within its header")
    shape = tuple(int(n) for n in np.frombuffer(content[4:start], dtype=">u4"))
    expected = start + int(np.prod(shape, dtype=np.int64))
    if len(content) != expected:
        raise ValueError(
            f"IDX file of shape {shape} must have {expected} bytes, this one has {len(content)}"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def decode_cifar10(archive: bytes) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Decode the binary distribution of CIFAR-10 from its .tar.gz archive.

    Returns
    -------
    dict
        For "train" and "test" the images, uint8 of shape (N, 3, 32, 32), and the labels,
        int64 of shape (N,).

    Raises
    ------
    ValueError
        If the archive is truncated or damaged, or holds other files.
    """
    import tarfile  # for this alone

    try:
        return _decoded(archive, tarfile.open)
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise ValueError(f"the archive of CIFAR-10 is truncated or damaged ({error})") from error


def _decoded(
    archive: bytes, opened: Callable[..., Any]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    batches: dict[str, list[np.ndarray]] = {"train": [], "test": []}
    with opened(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        members = []
        for member in tar:  # one after the other: no more is unpacked than is looked at
            if member.offset_data > CIFAR_LARGEST or member.size > CIFAR_LARGEST:
                raise ValueError(f"the archive of CIFAR-10 unpacks to more than {CIFAR_LARGEST:,}")
            if member.isfile() and member.name.endswith(".bin"):
                members.append(member)
        for member in sorted(members, key=lambda member: member.name):
            file = tar.extractfile(member)
            content = b"" if file is None else file.read()
            if len(content) % CIFAR_RECORD or len(content) != member.size:
                raise ValueError(
                    f"{member.name} has {len(content)} bytes, not a multiple of {CIFAR_RECORD}"
                )
            split = "test" if "test_batch" in member.name else "train"
            batches[split].append(np.frombuffer(content, np.uint8).reshape(-1, CIFAR_RECORD))
    if not (batches["train"] and batches["test"]):
        raise ValueError("the archive of CIFAR-10 lacks data_batch_*.bin or test_batch.bin")
    records = {split: np.concatenate(parts) for split, parts in batches.items()}
    return {
        split: (rows[:, 1:].reshape(-1, *CIFAR_SHAPE), rows[:, 0].astype(np.int64))
        for split, rows in records.items()
    }
