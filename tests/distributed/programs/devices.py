"""Train on several devices of this process: python devices.py KIND SHARDS STEPS DEVICES...

Prints what `bits.py` does, by all ranks, for each number of devices.
"""

import sys
from pathlib import Path

import tensorlite as tl

kind, shards, steps, *counts = sys.argv[1:]
program = Path(__file__).with_name("bits.py")
code = compile(program.read_text(), program, "exec")
sys.argv[1:] = [kind, shards, steps]
for count in map(int, counts):
    tl.distributed.on_devices(lambda: exec(code, {"__name__": "bits"}), count)
