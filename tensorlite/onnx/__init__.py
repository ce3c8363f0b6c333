"""ONNX: models in a file that other programs run (``pip install "tensorlite[onnx]"``).

`export` calls a model once for every length of its dynamic axes that it has to tell apart, and
writes down what the model did as a graph of ONNX's operators.
"""

from __future__ import annotations

from tensorlite.onnx.exporting import export
from tensorlite.onnx.trace import ExportError

__all__ = ["ExportError", "export"]
