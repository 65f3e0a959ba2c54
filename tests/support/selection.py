"""Which cases of a long list run in `make test`; the others are marked slow, and run in `make test-all`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def slow_but(cases: Iterable[Any], *kept: Any) -> list[Any]:
    """All cases, marked slow but for those that are kept."""
    every = list(cases)
    assert all(case in every for case in kept)
    return [case if case in kept else _slow(case) for case in every]


def _slow(case: Any) -> Any:
    return pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow)
