#!/usr/bin/env bash
# torch 2.13.0, CPU: losses of two float dtypes do not agree on what they return. mse_loss, l1_loss
# and smooth_l1_loss promote; huber_loss returns the dtype of its first argument, and
# binary_cross_entropy_with_logits that of its targets: float64 logits with float32 targets, as a
# loader brings them, lose half of their digits in silence.
# The guess: all of them promote, as arithmetic does.
# Seen: float64 with float32 gives float64, float64, float64, float64, float32;
# float32 with float64 gives float64, float64, float64, float32, float64.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "torch==2.13.0" "numpy==2.4.6"
"$folder/venv/bin/python" - <<'PY'
import torch
from torch.nn import functional as F

print("torch", torch.__version__)
long, short = torch.float64, torch.float32
LOSSES = {
    "mse_loss": (long, long),
    "l1_loss": (long, long),
    "smooth_l1_loss": (long, long),
    "huber_loss": (long, short),
    "binary_cross_entropy_with_logits": (short, long),
}
for name, expected in LOSSES.items():
    loss = getattr(F, name)
    x, y = torch.tensor([0.1, 0.7]), torch.tensor([0.2, 0.9])
    seen = loss(x.to(long), y.to(short)).dtype, loss(x.to(short), y.to(long)).dtype
    print(name, *seen)
    assert seen == expected, name
PY
