"""Where compiled kernels cannot be kept, locked or run."""

from __future__ import annotations

import errno
import getpass
import tempfile

import pytest

from tensorlite.backend.kernels import build, cache, host, prebuilt
from tensorlite.backend.kernels.unavailable import KernelsUnavailable


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Two caches, and what was tried in which."""
    first, second = tmp_path / "first", tmp_path / "second"
    monkeypatch.setattr(cache, "is_sound", lambda path: False)
    for module in (cache, host):  # each knows them by name
        monkeypatch.setattr(module, "place", lambda: (("g++",), first / "kernels.so"))
        monkeypatch.setattr(module, "second_cache", lambda: second)
    monkeypatch.setattr(prebuilt, "find", lambda: None)

    def build(compiler, wanted, target):
        target.write_text("")
        return target

    for module in (cache, host):
        monkeypatch.setattr(module, "build", build)
    monkeypatch.setattr(host, "_import", lambda path: path)
    return first, second


def fails(monkeypatch, function, *where, error):
    """Let a function fail for paths in these folders."""
    true = getattr(host, function)

    def may_fail(*args):
        if any(folder in args[-1].parents for folder in where):
            raise error
        return true(*args)

    for module in (cache, host):
        if hasattr(module, function):
            monkeypatch.setattr(module, function, may_fail)


NOEXEC = ImportError("failed to map segment from shared object")
FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(("function", "error"), [("_import", NOEXEC), ("build", FULL)])
def test_one_cache_after_the_other_then_this_process_alone(
    folders, monkeypatch, capsys, function, error
):
    first, second = folders
    assert host.load_host().parent == first
    fails(monkeypatch, function, first, error=error)
    assert host.load_host().parent == second
    assert capsys.readouterr().err == ""
    fails(monkeypatch, function, second, error=error)
    assert host.load_host().parent not in (first, second)
    said = capsys.readouterr().err
    assert said.count("compiling for this process only") == 1
    assert str(first) in said and str(second) in said and error.args[-1] in said


def test_without_any_folder_numpy_computes(folders, monkeypatch):
    first, _ = folders
    fails(monkeypatch, "_import", first.root and type(first)(first.root), error=NOEXEC)
    with pytest.raises(KernelsUnavailable, match="no folder to compile them in: failed to map"):
        host.load_host()


def test_a_full_disk_is_no_mistake_of_the_source(tmp_path):
    compiler = tmp_path / "g++"
    compiler.write_text("#!/bin/sh\necho 'error writing: No space left on device' >&2\nexit 1\n")
    compiler.chmod(0o755)
    with pytest.raises(OSError) as caught:
        build.run([str(compiler), "-o", "x.o"])
    assert caught.value.errno == errno.ENOSPC


def test_a_user_without_a_home_or_a_name(monkeypatch, tmp_path):
    def none(*args):
        raise RuntimeError("Could not determine home directory.")

    def nameless():
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(cache.Path, "home", none)
    monkeypatch.setattr(getpass, "getuser", nameless)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    assert tmp_path in cache.cache_folder().parents
