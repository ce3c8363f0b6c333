"""Work that nobody waits for, such as compiling: one thread does it, a task after the other.

A child process of a task is ended with this process, which does not wait for either. A fork begins
its own thread, with the tasks that were waiting.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess


class Task:
    """A function that is called in the background.

    Attributes
    ----------
    error : BaseException or None
        What it raised.
    """

    def __init__(self, function: Callable[[], None]) -> None:
        self._function: Callable[[], None] | None = function
        self._ended = threading.Event()
        self.error: BaseException | None = None

    def is_done(self) -> bool:
        """Whether it has ended, well or not."""
        if self._ended.is_set():
            return True
        _worker.work()
        return False

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has ended; False where so many seconds were not enough."""
        return self.is_done() or self._ended.wait(timeout)

    def run(self) -> None:
        """Call the function."""
        try:
            if self._function is not None:
                self._function()
        except BaseException as error:
            self.error = error
        finally:
            self._function = None
            self._ended.set()

    def renew(self) -> None:
        """In a fork: what waits for it has locks of its own."""
        if not self._ended.is_set():
            self._ended = threading.Event()


class _Worker:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.tasks: deque[Task] = deque()  # the first one is being done
        self.thread: threading.Thread | None = None
        self.child: subprocess.Popen | None = None
        self.closed = False

    def work(self) -> None:
        """See to it that a thread works where there is something to do."""
        with self.lock:
            if self.thread is not None or not self.tasks or self.closed:
                return
            thread = threading.Thread(target=self._loop, name="tensorlite", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # there can be no more threads
                left = list(self.tasks)
                self.tasks.clear()
            else:
                self.thread, left = thread, []
        for task in left:
            task.run()

    def _loop(self) -> None:
        while True:
            with self.lock:
                if not self.tasks or self.closed:
                    self.thread = None
                    return
                task = self.tasks[0]
            task.run()
            with self.lock:
                self.tasks.popleft()

    def close(self) -> None:
        """End the child of the task that runs, and begin no other."""
        with self.lock:
            self.closed = True
            thread, child = self.thread, self.child
        if child is not None:
            _end(child)
        if thread is not None:
            thread.join(1)  # it takes its files away

    def forked(self) -> None:
        """In a new process: no thread has come with it, and the child is the parent's."""
        self.lock, self.thread, self.child = threading.Lock(), None, None
        for task in self.tasks:
            task.renew()


_worker = _Worker()
atexit.register(lambda: _worker.close())
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _worker.forked())


def later(function: Callable[[], None]) -> Task:
    """Call a function in the background, after those that were given before."""
    task = Task(function)
    with _worker.lock:
        _worker.tasks.append(task)
    _worker.work()
    return task


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; one that a task runs gives way to others, and ends with us."""
    import subprocess  # which takes a while, and most programs find all compiled

    if threading.current_thread() is not _worker.thread:
        return subprocess.run(command, capture_output=True, text=True, check=False)
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,  # a compiler is several programs
    ) as child:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PGRP, child.pid, 10)
        with _worker.lock:
            _worker.child = child
            closed = _worker.closed
        if closed:
            _end(child)
        try:
            told, errors = child.communicate()
        finally:
            with _worker.lock:
                _worker.child = None
    return subprocess.CompletedProcess(command, child.returncode, told, errors)


def _end(child: subprocess.Popen) -> None:
    if child.returncode is None:
        with contextlib.suppress(OSError):
            os.killpg(child.pid, signal.SIGKILL)
