"""Make the networks that `benchmarks.gpu_check` measures: configuration, plan, random rows, state on a device."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.inputs.made_up import MadeUpRun, made_up_metadata
from trm_cli.config.compose import compose
from trm_cli.config.make_plan import make_plan
from trm_cli.data.files.metadata import IGNORED_LABEL
from trm_cli.data.stream.records import TEXT
from trm_cli.data.stream.vocabulary import FIRST_BYTE, FIRST_COLOUR, TEXT_WINDOW, VOCAB_SIZE
from trm_cli.models.layers.gated_mlp import swiglu_width
from trm_cli.models.measuring import measure
from trm_cli.models.network import Network
from trm_cli.models.networks.trm import TrmConfig
from trm_cli.models.upload import computes_apart
from trm_cli.schedule.plan import DatasetCounts
from trm_cli.training.batch_transfer import BatchTransfer
from trm_cli.training.hardware.machine import Machine
from trm_cli.training.loop import draws_of_rows
from trm_cli.training.run.build import make_model, make_state
from trm_cli.training.state.training_state import TrainingState
from trm_cli.training.step import StepSettings, update


@dataclass(frozen=True)
class Case:
    """An architecture on boards of `length` cells. share: its share of the requested batch size."""

    arch: str
    length: int
    vocabulary: int
    share: int


CASES = {
    "sudoku mlp": Case("trm_sudoku", 81, 11, 1),
    "sudoku attention": Case("trm_sudoku_att", 81, 11, 1),
    "30x30 attention": Case("trm_arc", 900, 12, 8),
    "capsules": Case("multimodal_hesc", 900, VOCAB_SIZE, 24),
}
#: The other families, of which one update is computed.
FAMILIES = {
    "six states": Case("trm_hier6", 81, 11, 1),
    "hrm": Case("hrm", 81, 11, 1),
    "transformer": Case("transformer_baseline", 81, 11, 1),
}
MODES = ("eager", "compiled", "graphs")
_COMPILE = {"eager": "false", "compiled": "true", "graphs": "graphs"}


@dataclass(frozen=True)
class Way:
    """How a case is computed. mode: one of MODES; words: overrides of the case's settings."""

    device: str
    precision: str
    mode: str = "eager"
    words: tuple[str, ...] = ()


def task_of(case: Case, rows: int, way: Way) -> MadeUpRun:
    """The run of a case with so many rows in an update, as the memory estimate and the others take it."""
    words: Sequence[str] = (
        f"arch={case.arch}",
        f"global_batch_size={rows}",
        f"precision={way.precision}",
        f"device={way.device}",
        f"compile={_COMPILE[way.mode]}",
        "checkpoint_path=does/not/exist",
        *way.words,
    )
    config = compose("sudoku-extreme", words).config
    metadata = made_up_metadata(case.length, case.vocabulary, 100_000, identifiers=100)
    plan = make_plan(config, DatasetCounts(100_000, 1.0, "made up"))
    machine = Machine.choose(config, case.length)
    return MadeUpRun(config, plan, metadata, machine)


def random_rows(case: Case, rows: int) -> dict[str, np.ndarray]:
    """Tokens drawn from a fixed seed; nothing is padding."""
    random = np.random.default_rng(1)
    if case.arch.startswith("multimodal_hesc"):
        return _random_records(random, rows, case.length)
    inputs, labels = random.integers(1, case.vocabulary, (2, rows, case.length), dtype=np.int32)
    return {"inputs": inputs, "labels": labels, "puzzle_identifiers": np.arange(rows, dtype=np.int32) % 100}


def _random_records(random: np.random.Generator, rows: int, cells: int) -> dict[str, np.ndarray]:
    """Grids that fill the board in even rows, texts in odd ones."""
    kind, side = np.arange(rows, dtype=np.int32) % 2, math.isqrt(cells)
    is_text = kind[:, None] == TEXT
    colours = random.integers(0, 10, (2, rows, cells))
    letters = np.full((rows, cells + 1), IGNORED_LABEL)
    letters[:, : TEXT_WINDOW + 1] = FIRST_BYTE + random.integers(97, 123, (rows, TEXT_WINDOW + 1))
    return {
        "kind": kind,
        "cells": np.where(is_text, 0, 1 + colours[0]).astype(np.uint8),
        "size": np.where(is_text, 0, side).repeat(4, 1).astype(np.uint8),
        "text": np.where(is_text, letters[:, :TEXT_WINDOW], 0).astype(np.int32),
        "target": np.where(is_text, letters[:, 1:], FIRST_COLOUR + colours[1]).astype(np.int32),
        "puzzle_identifiers": np.arange(rows, dtype=np.int32) % 100,
    }


def model_of(task: MadeUpRun) -> Network:
    """Return a new network on the device, compiled if the task asks for it."""
    model = make_model(task.config, task.metadata, task.machine.precision.value).to(task.machine.torch_device)
    if task.machine.compile.value != "off":
        # The program tries itself on a processor, where kernels are not what is looked at.
        options = {"backend": "eager"} if task.machine.device.value == "cpu" else {}
        model.compile_stacks(graphs=task.config.compile == "graphs", **options)
    return model


class Updates:
    """The updates of a run, each as the loop makes it: rows and draws are copied, numbers judged, all of it stepped."""

    def __init__(self, task: MadeUpRun, case: Case) -> None:
        self.state: TrainingState = make_state(task.config, model_of(task), task.machine)
        self._task, device = task, task.machine.torch_device
        self._rows = random_rows(case, task.config.global_batch_size)
        self._transfer = BatchTransfer(self.state, device, None)
        self._settings = StepSettings(
            task.config.global_batch_size,
            task.config.grad_clip,
            read_later=computes_apart(device),
            keep_gradients=task.config.compile == "graphs",
        )

    def next(self) -> None:
        """One update."""
        step = self.state.step + 1
        rows = self._settings.global_batch_size
        columns = int(self.state.model.draws_per_row)
        clock = self._task.plan.values_at(step)
        sent = self._transfer.send(self._rows, draws_of_rows(0, step, slice(0, rows), rows, columns), clock)
        update(self.state, sent.batch, sent.draws, clock, self._settings, sent.clock, sent.layouts)
        self.state.step = step


def flops(task: MadeUpRun, case: Case) -> float:
    """Matrix arithmetic of one update: 2 for each multiply-add, a backward counts twice its forward."""
    arch = task.config.arch.model_dump()
    if not isinstance(task.config.arch, TrmConfig):
        with torch.device("meta"):
            model = make_model(task.config, task.metadata, "float32")
        return float(task.config.global_batch_size * measure(model, model.blank_batch(1, "meta")).update)
    width, length = arch["hidden_size"], case.length + arch["puzzle_emb_len"]
    features = 3 * length * width * swiglu_width(width, arch["expansion"])
    tokens = (
        3 * length * width * swiglu_width(length, arch["expansion"])
        if arch["mlp_t"]
        else 4 * length * width**2 + 2 * length**2 * width
    )
    calls = arch["L_cycles"] + 1
    stack = 2.0 * task.config.global_batch_size * arch["L_layers"] * (features + tokens)
    return float(stack * ((arch["H_cycles"] - 1) * calls + 3 * calls))
