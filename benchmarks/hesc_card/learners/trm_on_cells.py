"""`arch=trm` on the cells of a stream dataset: its network, its losses and its update, in the loop of the baselines."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from benchmarks.hesc_card.learners.loop import Rows
from benchmarks.hesc_card.learners.scoring import Answers
from trm_cli.config.compose import compose
from trm_cli.data.files.metadata import DatasetMetadata
from trm_cli.data.stream.vocabulary import FIRST_BYTE
from trm_cli.models.thinking import think
from trm_cli.schedule.clock import SETTLED
from trm_cli.training.hardware.machine import Machine
from trm_cli.training.loop import draws_of_rows
from trm_cli.training.run.build import make_model, make_state
from trm_cli.training.step import StepSettings, update

#: Two blocks of this width are about as large as what the mini uses for grids. The published recursion (3 x 6, 16
#: steps) makes too few updates in these times to learn anything; the table's rate is the published one.
_SETTINGS = (
    "arch.hidden_size=192",
    "arch.num_heads=4",
    "arch.H_cycles=2",
    "arch.L_cycles=2",
    "arch.halt_max_steps=4",
    "arch.puzzle_emb_ndim=192",
    "arch.puzzle_emb_len=1",
    "optimizer=adamw",
    "ema_rate=0.99",
    "grad_clip=1.0",
    "threads=1",
    "device=cpu",
    "wandb=disabled",
)
_TABLE_RATE = 1e-2


class TrmLearner:
    """The state of a TRM that reads boards of a stream dataset, `side` x `side` cells, as a row of tokens."""

    def __init__(self, metadata: DatasetMetadata, side: int, batch_size: int, seed: int) -> None:
        self.config = compose(
            "arc-1", ["arch=trm", *_SETTINGS, f"seed={seed}", f"global_batch_size={batch_size}"]
        ).config
        self.cells = side**2
        own = replace(metadata, seq_len=self.cells, vocab_size=FIRST_BYTE)
        self.state = make_state(
            self.config, make_model(self.config, own, "float32"), Machine.choose(self.config, self.cells)
        )
        self._step = StepSettings(batch_size, self.config.grad_clip)

    @property
    def parameters(self) -> int:
        """All of them, the table included."""
        return sum(parameter.numel() for parameter in self.state.model.parameters())

    def _tokens(self, batch: Rows) -> Rows:
        """Inputs 0 empty, 1..10 colours; labels in the words of the stream."""
        return {
            "inputs": batch["cells"].int(),
            "labels": batch["target"][:, : self.cells].int(),
            "puzzle_identifiers": batch["puzzle_identifiers"].int(),
        }

    def update(self, batch: Rows, step: int, rate: float) -> None:
        """One supervision step of every row."""
        rows = len(batch["kind"])
        draws = draws_of_rows(self.config.seed, step, slice(0, rows), rows, self.state.model.draws_per_row)
        clock = replace(SETTLED, lr=rate, puzzle_emb_lr=_TABLE_RATE)
        update(self.state, self._tokens(batch), torch.from_numpy(draws), clock, self._step)
        self.state.step = step

    def answer(self, batch: Rows) -> Answers:
        """With the averaged weights, after all steps."""
        model, own = self.state.model.eval(), self._tokens(batch)
        assert self.state.ema is not None
        with self.state.ema.swapped():
            outputs = [step.outputs for step in think(model, own)][-1]
            nats = model.label_nats(outputs, own["labels"].long())
        width = (0, batch["target"].shape[1] - self.cells)
        tokens = torch.nn.functional.pad(model.answer(outputs), width)
        return Answers(tokens.numpy(), torch.nn.functional.pad(nats, width).numpy())

    def state_dict(self) -> dict[str, Any]:
        """All that the next update depends on."""
        return self.state.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue."""
        self.state.load_state_dict(state, torch.device("cpu"))
