"""Estimate the time of an update from its floating-point operations and the rate of this device at matrix products."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch.nn import functional

from trm_cli.config.schema import RunConfig
from trm_cli.data.files.metadata import DatasetMetadata
from trm_cli.models.measuring import measure
from trm_cli.models.numerics import forward_dtype_named
from trm_cli.training.forecast.forecast import Cost, Span
from trm_cli.training.hardware.devices import synchronise
from trm_cli.training.hardware.machine import Machine
from trm_cli.training.run.build import blank_batch, make_model

#: Rows whose operations are counted.
_ROWS = 2
_TIMINGS = 7
#: A product as large as this shows the rate of a device.
_MOST_POSITIONS = 8192
#: An update takes this many times what its products alone would take: at best, as measured in the mean, at worst.
_BEST, _USUAL, _WORST = 1.0, 1.7, 4.0


@dataclass(frozen=True)
class Operations:
    """Floating-point operations of one row: an update of it, and one supervision step without the backward pass."""

    update: float
    step: float


def count_operations(config: RunConfig, metadata: DatasetMetadata, precision: str) -> Operations:
    """Count them on the meta device, which computes nothing."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        model = make_model(config, metadata, precision)
        if config.activation_checkpointing:
            model.recompute_activations()
        found = measure(model, blank_batch(model, config, metadata, _ROWS, "meta"))
    return Operations(found.update / _ROWS, found.forward / _ROWS)


def product_rate(machine: Machine, rows: int, width: int) -> float:
    """Operations a second of the matrix products of a network of this width, on the device and in the precision of a
    run: the median of a few."""
    device, kind = machine.torch_device, forward_dtype_named(machine.precision.value)
    positions = max(1, min(rows, _MOST_POSITIONS))
    activations = torch.ones(positions, width, device=device, dtype=kind)
    weights = torch.ones(4 * width, width, device=device, dtype=kind)
    times = []
    for _ in range(_TIMINGS):
        synchronise(device)
        started = time.perf_counter()
        functional.linear(activations, weights)  # as the networks do: other layouts are several times slower in halves
        synchronise(device)
        times.append(time.perf_counter() - started)
    return 8.0 * positions * width * width / max(sorted(times)[_TIMINGS // 2], 1e-9)


def estimated(operations: float, rate: float) -> Cost:
    """The cost of so many operations."""
    seconds = operations / rate
    return Cost(Span(_BEST * seconds, _USUAL * seconds, _WORST * seconds))
