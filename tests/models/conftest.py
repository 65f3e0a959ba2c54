"""Settings of the property tests of this folder."""

from __future__ import annotations

from hypothesis import settings

# The first call of a tensor operation may take longer than hypothesis allows a whole example.
settings.register_profile("tensors", deadline=None)
settings.load_profile("tensors")
