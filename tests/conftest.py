"""Settings of every test: one thread a process, no network, nothing written outside the test's own folder."""

from __future__ import annotations

import os

from hypothesis import settings

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
os.environ["WANDB_MODE"] = "disabled"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["NO_COLOR"] = "1"
os.environ["COLUMNS"] = "100"
os.environ["TERM"] = "dumb"
os.environ.pop("TRM_DEBUG", None)
os.environ.pop("TRM_LOG_LEVEL", None)

# A neighbour that is busy, or the first call of something compiled, takes longer than hypothesis allows an example.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
