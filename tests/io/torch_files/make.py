"""Writes the files beside it with torch 2.13: what `tensorlite.load` must read without torch.

Run it with torch installed: ``python make.py``.
"""

from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent
NAMES = (
    *("float16", "float32", "float64", "bfloat16", "bool", "int8", "int16", "int32", "int64"),
    *("uint8", "uint16", "uint32", "uint64", "complex64", "complex128"),
    *("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"),
)


def dtypes():
    values = torch.tensor([[0.0, 1.0, 2.0], [4.0, 8.0, 0.5]])
    return {name: values.to(getattr(torch, name)) for name in NAMES}


def nested():
    base = torch.arange(12.0).reshape(3, 4)
    tied = torch.nn.Parameter(torch.ones(2, 2))
    return {
        "base": base,
        "row": base[1],
        "transposed": base.T,
        "every_second": base[:, ::2],
        "expanded": torch.tensor([5.0]).expand(2, 3),
        "conj": torch.tensor([1 + 2j]).conj(),
        "number": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "parameter": tied,
        "tied": tied,
        "frozen": torch.nn.Parameter(torch.zeros(1), requires_grad=False),
        "leaf": torch.zeros(1, requires_grad=True),
        "ordered": OrderedDict(a=1, b=torch.ones(1)),
        "size": torch.Size([2, 3]),
        "dtype": torch.float16,
        "device": torch.device("cpu"),
        "cuda": torch.device("cuda", 1),
        "plain": [None, True, -1, 2**40, 1.5, "ä", b"\x00\xff", (1, [2]), {3}, {4: 5}, 1j],
        "numpy": [np.float32(0.5), np.int64(7), np.arange(6, dtype="i2").reshape(2, 3)],
    }


def training():
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.ReLU(), torch.nn.Linear(4, 2)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    x = torch.randn(5, 3)
    model(x).square().sum().backward()
    optimizer.step()
    model.eval()
    return {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "x": x,
        "y": model(x).detach(),
    }


if __name__ == "__main__":
    torch.save(dtypes(), HERE / "dtypes.pt")
    torch.save(nested(), HERE / "nested.pt")
    torch.save(training(), HERE / "training.pt")
    torch.save(torch.nn.Linear(1, 1), HERE / "module.pt")
    old = {"_use_new_zipfile_serialization": False}
    torch.save(nested(), HERE / "nested_legacy.pt", **old)
    torch.save(dtypes(), HERE / "dtypes_legacy.pt", **old)
