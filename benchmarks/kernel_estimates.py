"""What the kernels of products could reach at most, by their machine code: no GPU is needed.

    python benchmarks/kernel_estimates.py > benchmarks/kernel_estimates.md

For each kernel's inner loop: instructions a warp issues for each tensor-core instruction, and the
rates that follow from issuing them (one a cycle and scheduler, with warps enough to hide latency)
and from the tensor cores. The loops hold what is seldom taken, too (rows that lie in no packs, more
than 32 taps), so the real issue rate is above this. Beside them, the least time that the bytes of a
typical size take. These are bounds and no measurements: a change for the worse is seen in them.
It needs NVRTC (with CuPy) and `nvdisasm`; see tests/kernels/sass.py.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "kernels"))

import sass


class Chip(NamedTuple):
    """What bounds a kernel; cycles of an m16n8k16 (16-bit) on one of a processor's four units."""

    name: str
    arch: int
    processors: int
    clock: float
    bytes_per_second: float
    tensor_cycles: float


# mma.sync reaches about 0.62 of what Hopper's wgmma does: 4 cycles become 6.5. The RTX 4090 adds up
# in float32 at half its rate.
CHIPS = [
    Chip("H200", 90, 132, 1.83e9, 4.8e12, 6.5),
    Chip("RTX 4090", 89, 128, 2.52e9, 1.008e12, 32),
]

# family, dtype, threads of a block
FAMILIES = [
    ("attention_tiles", "bfloat16", 128),
    ("conv_product", "bfloat16", 256),
    ("conv_tf32", None, 256),
]

# What is done, its multiplications with additions times two, and the bytes that must move.
SIZES = {
    "attention forward, 8 × 12 × 1024 × 64, causal": (
        2 * 2 * 96 * 1024 * 1024 * 64 / 2,
        4 * 96 * 1024 * 64 * 2,
    ),
    "convolution 64 → 64, 3 × 3, 128 × 32 × 32": (
        2 * 128 * 1024 * 64 * 576,
        2 * 128 * 64 * 1024 * 2,
    ),
    "convolution 512 → 512, 3 × 3, 128 × 4 × 4": (
        2 * 128 * 16 * 512 * 4608,
        2 * 128 * 512 * 16 * 2 + 512 * 4608 * 2,
    ),
    "cross-entropy with its gradient, 8192 × 50257": (0, 2 * 8192 * 50257 * 2),
    "layer norm, 8192 × 768": (0, 2 * 8192 * 768 * 2),
}


def main() -> None:
    """Print the tables as Markdown."""
    print("# Bounds of the kernels of products\n")
    print("Made by `benchmarks/kernel_estimates.py`; nothing here was timed on a GPU.\n")
    for chip in CHIPS:
        print(f"## {chip.name}: {chip.processors} processors, {chip.clock / 1e9:.2f} GHz\n")
        print(
            "| kernel | registers | warps | instructions a tensor-core one | tensor cores' share | "
            "TFLOP/s by issue | by tensor cores |\n|---|---|---|---|---|---|---|"
        )
        for family, dtype, threads in FAMILIES:
            for code in sass.read(family, dtype, chip.arch):
                _row(chip, code, threads, 2048 if "tf32" in code.name else 4096)
        print("\n| work, bf16 | least µs by bytes | by tensor cores |\n|---|---|---|")
        for name, (operations, moved) in SIZES.items():
            peak = 4 * chip.processors * chip.clock * 4096 / chip.tensor_cycles
            arithmetic = f"{operations / peak * 1e6:.1f}" if operations else "–"
            print(f"| {name} | {moved / chip.bytes_per_second * 1e6:.1f} | {arithmetic} |")
        print()


def _row(chip: Chip, code: sass.Code, threads: int, operations: int) -> None:
    loops = [loop for loop in code.loops if loop.counts["HMMA"]]
    if not loops:
        return
    loop = max(loops, key=lambda each: each.counts["HMMA"])
    tensor = loop.counts["HMMA"]
    issued = loop.instructions / tensor
    schedulers = 4 * chip.processors * chip.clock
    share = min(1.0, chip.tensor_cycles / issued)
    name = code.name.removeprefix("tl::").split("<")[0]
    print(
        f"| `{name}` | {code.registers} | {code.warps(chip.arch, threads)} | {issued:.1f} | "
        f"{100 * share:.0f} % | {operations / issued * schedulers / 1e12:.0f} | "
        f"{operations / chip.tensor_cycles * schedulers / 1e12:.0f} |"
    )


if __name__ == "__main__":
    main()
