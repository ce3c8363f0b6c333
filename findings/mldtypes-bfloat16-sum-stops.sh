#!/usr/bin/env bash
# ml_dtypes 0.6.0 with numpy 2.4.6: sum, mean and cumsum of a bfloat16 array are added one by one in
# bfloat16, so that a sum of ones stops at 256, where 1 is less than half the distance to the next
# number. NumPy's own float16 is added in pairs and does not stop; dot of the same array does not either.
# The guess: sum is as good as float16's, and agrees with dot.
# Seen: sum 256, mean 0.255859, cumsum 256; dot 1000; float16 sum 1000.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "ml_dtypes==0.6.0" "numpy==2.4.6"
"$folder/venv/bin/python" - <<'PY'
import ml_dtypes
import numpy as np

print("ml_dtypes", ml_dtypes.__version__, "numpy", np.__version__)
x = np.ones(1000, ml_dtypes.bfloat16)
seen = [float(v) for v in (x.sum(), x.mean(), x.cumsum()[-1], np.dot(x, x))]
half = float(np.ones(1000, np.float16).sum())
print("sum, mean, cumsum, dot:", seen, "float16 sum:", half)
assert seen == [256, 0.255859375, 256, 1000] and half == 1000
PY
