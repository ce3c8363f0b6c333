#!/usr/bin/env bash
# onnxruntime 1.32.0, CPU, float32: Sigmoid is 0 from -18 on and twice the value at -17, and Elu of
# numbers near 0 is 0 or off by a thousandth, since exp(x) is rounded before 1 is taken from it.
# The guess: a relative error of some 1e-6, as torch and jax have.
# Seen: Sigmoid(-17) 8.9e-8 (4.1e-8 is right), Sigmoid(-18) 0 (1.5e-8); Elu(-1e-8) 0 (-1e-8).
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "onnxruntime==1.32.0" "onnx==1.23.2" "numpy==2.4.6"
"$folder/venv/bin/python" - <<'PY'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper

print("onnxruntime", onnxruntime.__version__)


def run(op, numbers):
    graph = helper.make_graph(
        [helper.make_node(op, ["x"], ["y"])],
        op,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [len(numbers)])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [len(numbers)])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"x": np.array(numbers, np.float32)})[0].astype(float)


x = np.array([-17.0, -18.0])
sigmoid, exact = run("Sigmoid", x), 1 / (1 + np.exp(-x))
print("Sigmoid", sigmoid, "exact", exact)
assert sigmoid[0] > 1.5 * exact[0] and sigmoid[1] == 0
x = np.array([-1e-5, -1e-8])
elu, exact = run("Elu", x), np.expm1(x)
print("Elu", elu, "exact", exact)
assert abs(elu[0] / exact[0] - 1) > 1e-4 and elu[1] == 0
PY
