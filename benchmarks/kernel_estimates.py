"""What the kernels of products could reach at most, by their machine code: no GPU is needed.

    python benchmarks/kernel_estimates.py > benchmarks/kernel_estimates.md

Of each kernel's quick inner loop instructions are counted, and with them the cycles that a quarter
of a processor (a scheduler with its tensor core) needs for one warp to pass through it:

* to issue its instructions, one a cycle;
* in the tensor core, for the products (`tensor_cycles` each: while one is under way the scheduler
  is free for other instructions, so `in the shadow` is this time over that of issuing);
* in shared memory, which all four quarters share: 128 bytes a cycle (CUDA C++ Programming Guide,
  compute capability 8.x and 9.0), 4 cycles a 16-byte access of a warp;
* in the special function unit: 16 lanes a cycle and processor (the same guide), 8 cycles a warp.

The largest of them bounds the kernel. Beside that stands, for a step of GPT-2 small and of
ResNet-18, the time that such bounds and the bytes come to. These are bounds and no measurements: a
change for the worse is seen in them. It needs NVRTC (with CuPy) and `nvdisasm`; see
tests/kernels/sass.py.
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


# An m16n8k16 is 2048 products. A100: 1024 a cycle and processor (its white paper), 256 a tensor
# core: 8 cycles. Hopper: 2048, but mma.sync reaches about 0.62 of that (Luo et al. 2024,
# arXiv:2402.13499): 4 cycles become 6.5. The RTX 4090 adds up in float32 at half its rate.
CHIPS = [
    Chip("A100", 80, 108, 1.41e9, 2.04e12, 8),
    Chip("H200", 90, 132, 1.83e9, 4.8e12, 6.5),
    Chip("RTX 4090", 89, 128, 2.52e9, 1.008e12, 32),
]

# family, dtype, threads of a block
FAMILIES = [
    ("attention_tiles", "bfloat16", 128),
    ("attention_tf32", None, 128),
    ("conv_product", "bfloat16", 256),
    ("conv_tf32", None, 256),
]

USED = 0.7  # of a bound or of the bandwidth, in a step: what good kernels are known to reach
CUBLAS = 0.65  # of the tensor cores' peak, which is wgmma's on Hopper


class Bound(NamedTuple):
    """Cycles of a pass through an inner loop, and the products in it."""

    products: int
    cycles: dict[str, float]

    @property
    def longest(self) -> float:
        return max(self.cycles.values())

    def rate(self, chip: Chip, operations: int = 4096) -> float:
        """In operations a second."""
        return self.products * operations / self.longest * 4 * chip.processors * chip.clock


def bound(chip: Chip, code: sass.Code) -> Bound | None:
    """Of the loop with most tensor-core instructions, and of these the shortest."""
    loops = [loop for loop in code.loops if loop.counts["HMMA"]]
    if not loops:
        return None
    most = max(loop.counts["HMMA"] for loop in loops)
    loop = min((x for x in loops if x.counts["HMMA"] == most), key=lambda x: x.instructions)
    wide = loop.counts["LDSM"] + loop.counts["LDGSTS"] + loop.counts["LDS.128"]
    wide += loop.counts["STS.128"]
    narrow = loop.counts["LDS.32"] + loop.counts["STS.32"] + loop.counts["STS.16"]
    cycles = {
        "issue": loop.instructions,
        "tensor cores": most * chip.tensor_cycles,
        "shared memory": 4 * (4 * wide + narrow),
        "exponentials": 8 * loop.counts["MUFU"],
    }
    return Bound(most, cycles)


def name_of(code: sass.Code) -> str:
    return code.name.removeprefix("tl::").split("<")[0]


def _asked_for(code: sass.Code) -> int:
    """Bytes of shared memory that the launch adds to the kernel's own."""
    kernels = (k for family in sass.families("cuda").values() for k in family)
    return next(k.shared for k in kernels if k.name == name_of(code))


def main() -> None:
    """Print the tables as Markdown."""
    print("# Bounds of the kernels of products\n")
    print("Made by `benchmarks/kernel_estimates.py`, which says how; nothing here was timed.\n")
    for chip in CHIPS:
        print(f"## {chip.name}: {chip.processors} processors, {chip.clock / 1e9:.2f} GHz\n")
        print(
            "| kernel | registers | spilled | warps | instructions a product | in the shadow | "
            "bounded by | TFLOP/s |\n|---|---|---|---|---|---|---|---|"
        )
        bounds = {}
        for family, dtype, threads in FAMILIES:
            for code in sass.read(family, dtype, chip.arch):
                found = bound(chip, code)
                if found is not None:
                    bounds[name_of(code)] = found
                    _row(chip, code, found, threads)
        _attention(chip, bounds)
        _steps(chip, bounds)


def _row(chip: Chip, code: sass.Code, found: Bound, threads: int) -> None:
    shadow = min(1.0, found.cycles["tensor cores"] / found.cycles["issue"])
    by = max(found.cycles, key=found.cycles.__getitem__)
    operations = 2048 if "tf32" in code.name else 4096
    warps = code.warps(chip.arch, threads, _asked_for(code))
    print(
        f"| `{name_of(code)}` | {code.registers} | {code.spills} | "
        f"{warps} | {found.cycles['issue'] / found.products:.1f} | "
        f"{100 * shadow:.0f} % | {by} | {found.rate(chip, operations) / 1e12:.0f} |"
    )


def _backward(chip: Chip, bounds: dict[str, Bound]) -> float:
    """Operations a second of both passes, counted as is usual: five products, not our seven."""
    over_queries, over_keys = (bounds[f"attention_tiles_{x}_64"] for x in ("queries", "keys"))
    seconds = over_queries.longest + over_keys.longest * over_queries.products / 48
    return over_queries.products * 5 / 3 * 4096 / seconds * 4 * chip.processors * chip.clock


def _attention(chip: Chip, bounds: dict[str, Bound]) -> None:
    print(
        f"\nAttention, bf16, 64 wide: {bounds['attention_tiles_64'].rate(chip) / 1e12:.0f} TFLOP/s"
        f" forward, {_backward(chip, bounds) / 1e12:.0f} backward (of five products; ours are"
        " seven).\n"
    )


def _convolutions(chip: Chip, bounds: dict[str, Bound], kind: str) -> float:
    """Seconds of ResNet-18's products: the first of its four stages has 64 filters, and 27 %."""
    pairs, operations = 128 * 0.556e9, 2048 if kind else 4096
    return sum(
        2 * passes * share * pairs / bounds[f"conv_{name}_{kind}{rows}"].rate(chip, operations)
        for rows, share in ((64, 0.27), (128, 0.73))
        for name, passes in (("product", 2), ("weights", 1))  # forward, images; filters
    )


def _steps(chip: Chip, bounds: dict[str, Bound]) -> None:
    """What a training step comes to, in milliseconds."""
    peak = 4 * chip.processors * chip.clock * 4096 / (4 if chip.arch == 90 else chip.tensor_cycles)
    product, moved = CUBLAS * peak, USED * chip.bytes_per_second
    rows, width, layers, words = 8192, 768, 12, 50257
    pairs = 8 * 12 * 1024 * 1024 / 2 * 64  # causal
    weights = layers * 12 * width**2 + words * width
    gpt = {
        "matrix products": 6 * rows * weights / product,
        "attention": layers
        * (
            4 * pairs / bounds["attention_tiles_64"].rate(chip)
            + 10 * pairs / _backward(chip, bounds)
        )
        / USED,
        "norms, gelu, sums: bytes": layers * rows * width * 2 * 60 / moved,
        "cross-entropy": 3 * rows * words * 2 / moved,
        "optimizer": 28 * weights / moved,
    }
    resnets = {
        name: {
            "convolutions": _convolutions(chip, bounds, kind) / USED,
            "norms, relu, sums: bytes": 128 * 0.61e6 * itemsize * 14 / moved,
            "optimizer": 28 * 11.2e6 / moved,
        }
        for name, kind, itemsize in (("bf16", "", 2), ("TF32", "tf32_", 4))
    }
    for what, parts in (
        ("GPT-2 small, bf16, 8 × 1024", gpt),
        *((f"ResNet-18 for CIFAR, {name}, 128 images", parts) for name, parts in resnets.items()),
    ):
        total = sum(parts.values())
        each = ", ".join(f"{name} {1e3 * time:.1f}" for name, time in parts.items())
        print(f"- {what}: {1e3 * total:.1f} ms ({each})")
    print()


if __name__ == "__main__":
    main()
