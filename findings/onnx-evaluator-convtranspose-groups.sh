#!/usr/bin/env bash
# onnx 1.23.2: the reference evaluator raises for ConvTranspose with group=2, which the operator
# defines, the checker accepts and onnxruntime 1.32.0 runs.
# The guess: the reference runs all that the specification says of an operator.
# Seen: ValueError: cannot reshape array of size 81 into shape (1,2,27).
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "onnxruntime==1.32.0" "onnx==1.23.2" "numpy==2.4.6"
"$folder/venv/bin/python" - <<'PY'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

print("onnx", onnx.__version__)
x, w = np.ones((1, 4, 5, 5), np.float32), np.ones((4, 3, 3, 3), np.float32)
graph = helper.make_graph(
    [helper.make_node("ConvTranspose", ["x", "w"], ["y"], group=2)],
    "transposed",
    [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape),
        helper.make_tensor_value_info("w", TensorProto.FLOAT, w.shape),
    ],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 6, 7, 7))],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
onnx.checker.check_model(model, full_check=True)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
print("onnxruntime", session.run(None, {"x": x, "w": w})[0].shape)
try:
    ReferenceEvaluator(model).run(None, {"x": x, "w": w})
    raise SystemExit("the evaluator runs it now")
except ValueError as error:
    print("reference: ValueError:", error)
PY
