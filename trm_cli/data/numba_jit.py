"""Compile loops with numba, and keep the machine code on disk where that is possible."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from multiprocessing import parent_process
from typing import Any, TypeVar, cast

import numba
from numba.core import event

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """`function` compiled at its first call; later processes read the machine code from numba's cache."""
    try:
        return cast(Function, numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:
        # numba found no directory to cache in (a read-only install without a home): compile in every process.
        _say_that_nothing_is_kept()
        return cast(Function, numba.njit(nogil=True)(function))


@cache
def _say_that_nothing_is_kept() -> None:
    event.unregister("numba:compile", _LISTENER)  # type: ignore[no-untyped-call]  # numba has no types
    if parent_process() is None:
        text = "no folder for machine code can be written, so it is compiled in every process (up to a minute)"
        sys.stderr.write(f"{text}; NUMBA_CACHE_DIR names one\n")


class _FirstCompilation(event.Listener):
    """Says once that something is compiled, which takes seconds; what is found in the cache is not compiled."""

    def on_start(self, event: object) -> None:  # noqa: ARG002  # numba passes it
        """Print the line."""
        _say_that_it_compiles()

    def on_end(self, event: object) -> None:
        """Nothing."""


@cache
def _say_that_it_compiles() -> None:
    if parent_process() is None:
        sys.stderr.write("compiling for this processor: some ten seconds, the first time only\n")


_LISTENER = _FirstCompilation()
event.register("numba:compile", _LISTENER)  # type: ignore[no-untyped-call]


def compiled_loop(function: Any) -> Any:
    """As `compiled`, for a function without type hints, which only its own module calls."""
    return compiled(function)
