"""What this process may use of the machine: cores and memory, by affinity and by control groups."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/")
_CPU_FILES = ("cpu.cfs_quota_us", "cpu.cfs_period_us")  # of version 1
_MEMORY_FILES = ("memory.limit_in_bytes",)


def usable_cores(root: Path = _ROOT) -> int:
    """Cores that this process may keep busy: by affinity (`taskset`) and its group's quota.

    A quota of a core and a half is one: a second thread would be stopped in the middle of its work,
    and the first would wait for it.
    """
    if hasattr(os, "sched_getaffinity"):
        quotas = [len(os.sched_getaffinity(0))]
    else:
        quotas = [os.cpu_count() or 1]
    for quota, period in _settings(root, "cpu", "cpu.max", *_CPU_FILES):
        if quota > 0 < period:
            quotas.append(quota // period)
    return max(min(quotas), 1)


def usable_memory(root: Path = _ROOT) -> int:
    """Bytes of memory that this process may have: the machine's, its group's, or its own limit."""
    import resource

    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    limits += [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    limits += [first for first, *_ in _settings(root, "memory", "memory.max", *_MEMORY_FILES)]
    return min(limit for limit in limits if limit > 0)  # RLIM_INFINITY is -1


def _settings(root: Path, controller: str, unified: str, *files: str) -> Iterator[list[int]]:
    """The numbers that are set for this process's groups, and those around them.

    Of version 2 one file holds all of them, of version 1 there is a file for each.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, names, path = line.split(":", 2)
        if names and controller not in names.split(","):
            continue
        mount = root / "sys/fs/cgroup" / names
        group = mount / path.strip("/")
        for folder in (group, *group.parents):
            with contextlib.suppress(OSError, ValueError):  # "max": no limit
                texts = [(folder / name).read_text() for name in (files if names else (unified,))]
                yield [int(word) for text in texts for word in text.split()]
            if folder == mount:
                break
