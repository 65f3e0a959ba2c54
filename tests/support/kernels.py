"""Compute with the plain formulas of `models.layers` alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from trm_cli.models.kernels import choice


@contextmanager
def without_kernels() -> Iterator[None]:
    """Within the block no kernel is used."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice, "_enabled", False)
        yield
