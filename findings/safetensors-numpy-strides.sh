#!/usr/bin/env bash
# safetensors 0.8.0: safetensors.numpy.save writes an array that is not C-contiguous in the order of its
# memory, so that other values come back, without an error. safetensors.torch refuses such a tensor.
# The guess: what is saved is loaded; or an error, as with torch.
# Seen: the transpose of [[0, 1, 2], [3, 4, 5]] comes back as [[0, 1], [2, 3], [4, 5]].
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "safetensors==0.8.0" "numpy==2.4.6"
"$folder/venv/bin/python" - <<'PY'
import numpy as np
import safetensors
from safetensors.numpy import load, save

print("safetensors", safetensors.__version__)
transposed = np.arange(6, dtype=np.float32).reshape(2, 3).T
back = load(save({"t": transposed}))["t"]
print("saved", transposed.tolist(), "loaded", back.tolist())
assert back.tolist() == [[0, 1], [2, 3], [4, 5]] != transposed.tolist()
PY
