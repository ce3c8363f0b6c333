#!/usr/bin/env bash
# torch 2.13.0 and jax 0.10.2, CPU: the gradient of a table of bfloat16 in which one row is looked up
# 1,000 times is added row by row in bfloat16 and stops at 256. Torch's gather and scatter_add, which
# say the same, add in a wider type.
# The guess: a sum is rounded once, at least to within a few percent, however the lookup is spelled.
# Seen: nn.Embedding, x[i], index_select, index_add and jax's x[i] give 256; gather, scatter_add 1000.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "torch==2.13.0" "jax==0.10.2" "jaxlib==0.10.2" "numpy==2.4.6"
"$folder/venv/bin/python" - <<'PY'
import jax
import jax.numpy as jnp
import torch

print("torch", torch.__version__, "jax", jax.__version__)
zeros = torch.zeros(1000, dtype=torch.long)
ones = torch.ones(1000, dtype=torch.bfloat16)


def gradient(lookup):
    x = torch.ones(1, dtype=torch.bfloat16, requires_grad=True)
    lookup(x).sum().backward()
    return x.grad.item()


table = torch.nn.Embedding(1, 1, dtype=torch.bfloat16)
table(zeros).sum().backward()
nothing = torch.zeros(1, dtype=torch.bfloat16)
seen = {
    "Embedding": table.weight.grad.item(),
    "x[i]": gradient(lambda x: x[zeros]),
    "index_select": gradient(lambda x: x.index_select(0, zeros)),
    "index_add": nothing.index_add(0, zeros, ones).item(),
    "gather": gradient(lambda x: x.gather(0, zeros)),
    "scatter_add": nothing.scatter_add(0, zeros, ones).item(),
}
rows = jnp.zeros(1000, int)
seen["jax x[i]"] = float(
    jax.grad(lambda x: x[rows].sum().astype(jnp.float32))(jnp.zeros(1, jnp.bfloat16))[0]
)
print(seen)
right = {"gather", "scatter_add"}
assert all(value == (1000 if name in right else 256) for name, value in seen.items())
PY
