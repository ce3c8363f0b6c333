"""Two hosts: network namespaces with a cable between them, and a host file as mpiexec takes it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from launching import HAS_MPI, PROGRAMS, WITHOUT, digests, mpiexec

# Hydra calls it as `ssh HOST COMMAND`, for the host where it is not itself.
SSH = """#!/bin/sh
while [ "${{1#-}}" != "$1" ]; do shift; done
shift
exec ip netns exec {there} unshare --uts sh -c 'hostname there; eval "$*"' sh "$@"
"""


class Hosts(NamedTuple):
    """Where mpiexec runs, and how it reaches the other."""

    here: str
    cable: str
    launcher: list[str]

    def run(self, *command: object) -> subprocess.CompletedProcess:
        """Run a command on all ranks that the host file names."""
        whole = ["ip", "netns", "exec", self.here, mpiexec(), *self.launcher, *map(str, command)]
        path = os.pathsep.join(
            filter(None, (str(PROGRAMS.parents[2]), os.environ.get("PYTHONPATH")))
        )
        # Both hosts are one machine, and share its memory; it is the network that is tried.
        environment = {**os.environ, "PYTHONPATH": path, "UCX_TLS": "tcp,self"}
        return subprocess.run(
            whole, capture_output=True, text=True, timeout=120, env=environment, check=False
        )

    def travelled(self) -> int:
        """Bytes that went over the cable, from here."""
        counter = f"/sys/class/net/{self.cable}/statistics/tx_bytes"
        told = _ip("netns", "exec", self.here, "cat", counter)
        return int(told.stdout)


def _ip(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True)


def _has_namespaces() -> bool:
    if not HAS_MPI or shutil.which("ip") is None or shutil.which("unshare") is None:
        return False
    name = f"tl{os.getpid()}try"
    try:
        _ip("netns", "add", name)
        _ip("netns", "exec", name, "unshare", "--uts", "true")
    except subprocess.CalledProcessError:
        return False
    finally:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    return True


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    if not _has_namespaces():
        pytest.skip(f"network namespaces need root and iproute2; or {WITHOUT}")
    number, folder = os.getpid(), tmp_path_factory.mktemp("hosts")
    here, there, cable = f"tl{number}here", f"tl{number}there", f"tl{number}"
    try:
        for name in (here, there):
            _ip("netns", "add", name)
        _ip("link", "add", cable, "netns", here, "type", "veth", "peer", cable, "netns", there)
        for name, address in ((here, "10.213.0.1/24"), (there, "10.213.0.2/24")):
            _ip("-n", name, "addr", "add", address, "dev", cable)
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "link", "set", cable, "up")
        ssh, file = folder / "ssh", folder / "hosts"
        ssh.write_text(SSH.format(there=there))
        ssh.chmod(0o755)
        file.write_text("10.213.0.1:2\n10.213.0.2:2\n")
        launcher = [
            "-launcher",
            "ssh",
            "-launcher-exec",
            str(ssh),
            "-iface",
            cable,
            "-f",
            str(file),
        ]
        yield Hosts(here, cable, launcher)
    finally:
        for name in (here, there):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def test_ranks_know_their_hosts_and_the_bits_are_those_of_one_process(hosts):
    before = hosts.travelled()
    done = hosts.run("-n", "4", sys.executable, PROGRAMS / "bits.py", "cnn", 4, 8)
    assert done.returncode == 0, done.stderr
    assert set(re.findall(r"digest (\w+)", done.stdout)) == digests(0, "cnn", 4, 8)
    assert len(set(re.findall(r"rank (\d)", done.stdout))) == 4
    local = dict(re.findall(r"rank (\d) .* local (\d of \d)", done.stdout))
    assert local == {"0": "0 of 2", "1": "1 of 2", "2": "0 of 2", "3": "1 of 2"}
    sent = [int(n) for n in re.findall(r"sent (\d+)", done.stdout)]
    assert hosts.travelled() - before > 0.4 * sum(sent)  # it went over the cable


def test_killed_on_the_other_host(hosts, tmp_path):
    file = tmp_path / "last.safetensors"
    program = [sys.executable, PROGRAMS / "bits.py", "mlp", 2, 20, file]
    killed = hosts.run("-n", "2", "-ppn", "1", *program, 9)
    assert killed.returncode != 0 and "digest" not in killed.stdout
    assert file.exists()
    assert digests(0, "mlp", 2, 20, file) == digests(0, "mlp", 2, 20)
