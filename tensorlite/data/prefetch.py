"""A background thread that keeps the next items of an iterable ready."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable
from queue import SimpleQueue
from typing import TypeVar

__all__ = ["prefetched"]

T = TypeVar("T")


class _Failure:
    """The exception that ended the thread, on its way to the consumer."""

    def __init__(self, error: BaseException):
        self.error = error


_END = object()


def prefetched(items: Iterable[T], depth: int) -> Generator[T, None, None]:
    """Iterate over `items` while a thread computes up to `depth` of them ahead.

    An exception in the thread is raised in the consumer with its own traceback. When the
    generator is closed, by ``break`` or an exception in the loop's body, the thread is joined:
    at worst after the item it is computing.
    """
    ready: SimpleQueue = SimpleQueue()
    tickets: SimpleQueue = SimpleQueue()  # one for each item that may be computed
    stopped = False

    def work() -> None:
        try:
            iterator = iter(items)
            while True:
                tickets.get()
                if stopped:
                    return
                ready.put(next(iterator, _END))
        except BaseException as error:
            ready.put(_Failure(error))

    thread = threading.Thread(target=work, name="tensorlite-prefetch", daemon=True)
    for _ in range(depth):
        tickets.put(None)
    thread.start()
    try:
        while (item := ready.get()) is not _END:
            if isinstance(item, _Failure):
                raise item.error
            tickets.put(None)
            yield item
    finally:
        stopped = True
        tickets.put(None)
        thread.join()
