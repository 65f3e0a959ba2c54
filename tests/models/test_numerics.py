"""Number types of activations."""

from __future__ import annotations

import pytest

from trm_cli.models.numerics import forward_dtype_named


def test_unknown_dtype_is_named() -> None:
    with pytest.raises(ValueError, match="float32, bfloat16, float16"):
        forward_dtype_named("float8")
