"""Compiling loops over cells and numbers, with the result kept on disk where that is possible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """`function` compiled at its first call; later processes read the machine code from numba's cache."""
    return numba_jit_with()(function)


def numba_jit_with(**options: Any) -> Callable[[Function], Function]:
    """`compiled` with further options of numba."""

    def decorate(function: Function) -> Function:
        try:
            return cast(Function, numba.njit(cache=True, nogil=True, **options)(function))
        except RuntimeError:
            # numba found no directory to cache in (a read-only install without a home): compile in every process.
            return cast(Function, numba.njit(nogil=True, **options)(function))

    return decorate
