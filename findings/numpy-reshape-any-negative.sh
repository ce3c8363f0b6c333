#!/usr/bin/env bash
# numpy 2.4.6: in reshape any negative length stands for the one to be worked out, not only -1.
# The guess: a length of -5 is a mistake, and refused (as torch and jax.numpy do).
# Seen: np.arange(10).reshape(2, -5) has shape (2, 5), and reshape(-7) has shape (10,).
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "numpy==2.4.6" "jax==0.10.2" "jaxlib==0.10.2"
"$folder/venv/bin/python" - <<'PY'
import jax.numpy as jnp
import numpy as np

print("numpy", np.__version__)
shapes = np.arange(10).reshape(2, -5).shape, np.arange(10).reshape(-7).shape
print(shapes)
assert shapes == ((2, 5), (10,))
try:
    jnp.arange(10).reshape(2, -5)
    raise SystemExit("jax takes it, too")
except (TypeError, ValueError) as error:
    print("jax:", error)
PY
