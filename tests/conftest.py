"""The whole suite runs on one device with one kind of kernels, both chosen on the command line."""

from __future__ import annotations

import contextlib
import signal

import pytest
from object_files import remembering

from tensorlite.backend import Backend, Device, backend_for
from tensorlite.backend.base import parse_device
from tensorlite.backend.kernels import cache, prebuilt
from tensorlite.backend.kernels.unavailable import KernelsUnavailable


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("tensorlite")
    group.addoption(
        "--device", default="cpu", help="cpu or cuda; where it is missing the run fails"
    )
    group.addoption("--kernels", default="auto", choices=["auto", "reference", "compiled"])


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("filterwarnings", "error::RuntimeWarning")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell says "&"
    kernels = config.getoption("--kernels")
    if kernels != "reference" and prebuilt.find() is None:
        with contextlib.suppress(KernelsUnavailable, OSError):
            cache.build_native()  # all side by side; one after another when they are asked for
    backends = {backend_for("cpu"), _usable_backend(config.getoption("--device"))}
    for backend in backends:
        if kernels == "reference":
            backend.__dict__["kernels"] = None
        elif backend.kernels is None and kernels == "compiled":  # asked for, and so built, first
            raise pytest.UsageError(f"--kernels compiled: none for {backend.name} on this machine")


def _usable_backend(name: str) -> Backend:
    """The backend of a device, after a first computation on it."""
    try:
        backend = backend_for(name)
        backend.asarray([1.0], device=parse_device(name)).sum()
    except (RuntimeError, ImportError, ValueError) as error:
        raise pytest.UsageError(f"--device {name}: {error}") from error
    return backend


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> Device:
    """The device under test."""
    return parse_device(request.config.getoption("--device"))


@pytest.fixture(scope="session")
def backend(device: Device) -> Backend:
    """The backend of the device under test."""
    return backend_for(device)


@pytest.fixture(scope="session")
def remembering_compiler(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A compiler, as ``$CXX``, that compiles a source of the package once in all of the tests."""
    return remembering(tmp_path_factory.mktemp("objects"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what tests recorded about themselves, such as how much of an oracle they use."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{name}: {value}")
