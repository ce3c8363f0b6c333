"""Parameters that not every step uses: python unused.py WAITS ALTERNATES."""

import sys

import numpy as np

import tensorlite as tl
from tensorlite import nn

waits, alternates = sys.argv[1] == "True", sys.argv[2] == "True"
rank = tl.distributed.init().rank
tl.manual_seed(0)
a, b = nn.Linear(3, 1), nn.Linear(3, 1)
optimizer = tl.distributed.Sharded(
    tl.optim.Adam([*a.named_parameters("a"), *b.named_parameters("b")], lr=0.1),
    find_unused_parameters=waits,
)
x = tl.tensor(np.linspace(0, 1, 12).reshape(4, 3).astype(np.float32)) + rank
for step in range(6):
    optimizer.zero_grad()
    both = step < 3 or (rank == 1 and alternates and step < 5)
    (a(x) + b(x) if both else a(x)).square().mean().backward()
    optimizer.step()
optimizer.state_dict()  # the last step is checked, too
print(f"weights {[p.tolist() for m in (a, b) for p in m.parameters()]}\n", end="")
