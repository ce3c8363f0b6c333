#!/usr/bin/env bash
# torch 2.13.0, CPU: var(dim=()) reduces over all axes, as its value shows, but its gradient divides by
# another count: the gradient of three elements is infinite with correction=1 and three times too
# large with correction=0.
# The guess: an empty dim means all axes in both directions, so the gradient is that of var().
# Seen: value 2.3333, gradient [-inf, -inf, inf]; var() gives [-1.3333, -0.3333, 1.6667].
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "torch==2.13.0" "numpy==2.4.6"
"$folder/venv/bin/python" - <<'PY'
import torch

print("torch", torch.__version__)


def gradient(**options):
    x = torch.tensor([1.0, 2.0, 4.0], requires_grad=True)
    y = x.var(**options)
    y.backward()
    print(options, "value", round(y.item(), 4), "gradient", [round(g, 4) for g in x.grad.tolist()])
    return y.item(), x.grad


all_axes, right = gradient()
empty, wrong = gradient(dim=())
assert all_axes == empty
assert torch.isinf(wrong).all() and torch.isfinite(right).all()
_, right = gradient(correction=0)
_, wrong = gradient(dim=(), correction=0)
assert torch.allclose(wrong, 3 * right)
PY
