"""The gated MLP."""

from __future__ import annotations

import pytest

from trm_cli.models.layers.gated_mlp import swiglu_width


@pytest.mark.parametrize(("features", "width"), [(512, 1536), (97, 512), (81, 256), (32, 256), (1024, 2816)])
def test_swiglu_width(features: int, width: int) -> None:
    assert swiglu_width(features, 4) == width
