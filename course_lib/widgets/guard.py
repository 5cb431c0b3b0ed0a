"""Callbacks of widgets that have a `_lock`, a flag `_broken` and a field `error`."""

import functools
import html
from collections.abc import Callable
from typing import Any


def guarded(callback: Callable) -> Callable:
    """Show what goes wrong in a callback: Jupyter would hide it."""

    @functools.wraps(callback)
    def guarded(self: Any, *arguments):
        try:
            return callback(self, *arguments)
        except Exception as error:
            self._broken = True
            reason = html.escape(f"{type(error).__name__}: {error}")
            self.error.value = (
                f"<b>The playground stopped.</b> {reason} <i>Start again</i> clears it."
            )

    return guarded


def in_turn(callback: Callable) -> Callable:
    """`guarded`, and it waits until the game and its picture are nobody else's."""

    @guarded
    @functools.wraps(callback)
    def waiting(self: Any, *arguments):
        with self._lock:
            return callback(self, *arguments)

    return waiting
