#!/usr/bin/env bash
# torch 2.13.0: OneCycleLR with pct_start=0.5 and total_steps=2 divides by zero when it is made, while
# 1 and 3 steps work: the rising phase is pct_start * total_steps - 1 = 0 steps long.
# The guess: any number of steps from 1 on is a schedule.
# Seen: ZeroDivisionError: float division by zero.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "torch==2.13.0" "numpy==2.4.6"
"$folder/venv/bin/python" - <<'PY'
import torch
from torch.optim.lr_scheduler import OneCycleLR

print("torch", torch.__version__)
seen = []
for steps in (1, 2, 3):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    try:
        OneCycleLR(optimizer, max_lr=1.0, total_steps=steps, pct_start=0.5)
        seen.append("made")
    except ZeroDivisionError as error:
        seen.append(f"ZeroDivisionError: {error}")
    print(steps, seen[-1])
assert seen == ["made", "ZeroDivisionError: float division by zero", "made"]
PY
