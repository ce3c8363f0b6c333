#!/usr/bin/env bash
# ml_dtypes 0.6.0 with numpy 2.4.6: a NaN in a bfloat16 array stops np.sort from sorting the rest.
# The guess: NaN goes to the end, as in all of NumPy's own floats, and the others are in order.
# Seen: sort of [3, nan, 1, 2] is [3, nan, 1, 2]; as float16 it is [1, 2, 3, nan].
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "ml_dtypes==0.6.0" "numpy==2.4.6"
"$folder/venv/bin/python" - <<'PY'
import ml_dtypes
import numpy as np

print("ml_dtypes", ml_dtypes.__version__, "numpy", np.__version__)
numbers = [3, np.nan, 1, 2]
found = np.sort(np.array(numbers, ml_dtypes.bfloat16)).astype(float)
half = np.sort(np.array(numbers, np.float16)).astype(float)
print("bfloat16", found, "float16", half)
np.testing.assert_array_equal(found, numbers)
np.testing.assert_array_equal(half, [1, 2, 3, np.nan])
PY
