"""Decide whether a formula of `models.layers` is computed by its kernel.

Kernels are used unless the environment variable TRM_KERNELS is `off`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
T = TypeVar("T")

_enabled = os.environ.get("TRM_KERNELS", "on").lower() != "off"


def enabled() -> bool:
    """Whether kernels may be used."""
    return _enabled


@contextmanager
def plain_formulas() -> Iterator[None]:
    """Without kernels while the block runs: exporters know PyTorch's own operators alone."""
    global _enabled
    before, _enabled = _enabled, False
    try:
        yield
    finally:
        _enabled = before


def always() -> bool:
    """True: also where torch.compile traces."""
    return True


def eager() -> bool:
    """Whether torch.compile, which fuses the plain formulas by itself, is not tracing."""
    return not torch.compiler.is_compiling()


def recording() -> bool:
    """Whether a gradient is recorded by autograd itself."""
    return eager() and torch.is_grad_enabled()


def computed_by(kernel: Callable[P, T], when: Callable[[], bool] = eager) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorate a formula: `kernel` computes it while kernels are enabled and `when()` is true."""

    def decorate(formula: Callable[P, T]) -> Callable[P, T]:
        @wraps(formula)
        def choose(*args: P.args, **kwargs: P.kwargs) -> T:
            return kernel(*args, **kwargs) if when() and enabled() else formula(*args, **kwargs)

        return choose

    return decorate
