"""Compile a function that is called again and again, by itself: nothing is set for the whole process."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only


def compiled(function: Callable[..., Any], *, graphs: bool = False, **options: Any) -> Callable[..., Any]:
    """`function` by torch.compile with its options, with a limit of graphs of its own.

    graphs: replay what was compiled as CUDA graphs, one launch for all kernels. What has no fixed address, as carry and
    batch, torch copies into the memory of a graph; what comes out is copied here, before the next replay overwrites it.
    """
    if graphs and "backend" not in options:
        options["mode"] = "reduce-overhead"
    call: Callable[..., Any] = torch.compile(own_copy(function), **options)
    if not graphs:
        return call

    def replayed(*arguments: Any) -> Any:
        return tree_map_only(Tensor, Tensor.clone, call(*arguments))

    return replayed


def own_copy(function: Any) -> FunctionType:
    """The same function with code of its own: the compiler counts, and limits, the graphs of each piece of code."""
    return FunctionType(function.__code__.replace(), function.__globals__, function.__name__, function.__defaults__)
