"""Training on several processes, with the same bits as on one: data parallelism on MPI.

```python
tl.distributed.init()                                   # 1: who am I
loader = tl.distributed.cut(DataLoader(data, 64, shuffle=True))  # 2: a loader that knows its part
optimizer = tl.distributed.Sharded(optimizer)           # 3: gradients and updates of all
```

and ``mpiexec -n 4 python script.py``. The rest of the loop stays as it is. See docs/distributed.md.
"""

from tensorlite.distributed.agreement import check_same
from tensorlite.distributed.sharded import Sharded
from tensorlite.distributed.start import (
    cut,
    each_shard,
    finish,
    init,
    is_main,
    local_rank,
    on_main,
    rank,
    shards,
    size,
)
from tensorlite.distributed.threads import on_devices

__all__ = [
    "Sharded",
    "check_same",
    "cut",
    "each_shard",
    "finish",
    "init",
    "is_main",
    "local_rank",
    "on_devices",
    "on_main",
    "rank",
    "shards",
    "size",
]
