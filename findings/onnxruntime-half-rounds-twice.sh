#!/usr/bin/env bash
# onnxruntime 1.32.0, CPU: Cast from float64 to float16 goes through float32 and so rounds twice.
# The guess: the nearest float16, as NumPy and onnx's reference evaluator give.
# Seen: 1 + 2^-11 + 2^-40, just above the middle of 1 and the next float16, becomes 1, not 1.00098.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "onnxruntime==1.32.0" "onnx==1.23.2" "numpy==2.4.6"
"$folder/venv/bin/python" - <<'PY'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

print("onnxruntime", onnxruntime.__version__)
graph = helper.make_graph(
    [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT16)],
    "cast",
    [helper.make_tensor_value_info("x", TensorProto.DOUBLE, [1])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT16, [1])],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
x = np.array([1 + 2.0**-11 + 2.0**-40])
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
(found,) = session.run(None, {"x": x})
(reference,) = ReferenceEvaluator(model).run(None, {"x": x})
print("onnxruntime", found, "reference", reference, "numpy", x.astype(np.float16))
assert found[0] == 1 and reference[0] == x.astype(np.float16)[0] == np.float16(1 + 2.0**-10)
PY
