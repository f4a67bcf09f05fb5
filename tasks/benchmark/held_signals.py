"""Signals that wait while something is done that their handlers need done or not begun."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def held_signals(*numbers: signal.Signals) -> Iterator[None]:
    """Call the handlers of signals after the block, and not within it.

    Signals are noted rather than blocked, since programs that are started in the block would
    inherit a mask. What Python does not handle stays as it is.
    """
    came: list[int] = []
    handlers = {number: signal.getsignal(number) for number in numbers}
    handlers = {number: handler for number, handler in handlers.items() if callable(handler)}
    for number in handlers:
        signal.signal(number, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for late in came:
            signal.raise_signal(late)
