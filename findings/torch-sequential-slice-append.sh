#!/usr/bin/env bash
# torch 2.13.0: append() to a slice of nn.Sequential that does not begin at 0 replaces its last member.
# A slice keeps the names its members had, and append() names the new one by the length.
# The guess: a slice of two members and one more has three.
# Seen: members named 1 and 2 before, still 1 and 2 after, and Tanh is gone.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "torch==2.13.0" "numpy==2.4.6"
"$folder/venv/bin/python" - <<'PY'
import torch
from torch import nn

print("torch", torch.__version__)
tail = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Tanh())[1:]
print("before", dict(tail.named_children()))
tail.append(nn.Sigmoid())
print("after ", dict(tail.named_children()))
assert [type(m).__name__ for m in tail] == ["ReLU", "Sigmoid"]
PY
