"""Define the interface of every network: what training, evaluation and the commands call.

B rows, S tokens of a label, L positions of a state, D `hidden_size`, V words of the vocabulary. Nothing here counts
updates or holds a value of the clock: what a step needs of either comes in as an argument.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from trm_cli.models.cost import Component, Measured
from trm_cli.models.network_config import NetworkConfig
from trm_cli.models.numerics import forward_dtype_named
from trm_cli.models.supervision.carry import Carry
from trm_cli.models.supervision.outputs import Outputs, StepResult
from trm_cli.schedule.clock import SETTLED, Clock

if TYPE_CHECKING:
    from trm_cli.models.all_ranks import AllRanks
    from trm_cli.models.text_reader import TextReader

#: The fields of a batch by name, [B, ...] each.
Batch = Mapping[str, Tensor]
#: The scheduled values of a step: numbers, or 0-dim tensors where a compiled graph must not depend on them.
StepClock = Clock[Tensor | float]


class Network(nn.Module, ABC):
    """A recursive network under deep supervision: it refines its answers to a batch of rows step by step, until each
    row halts.

    `advance` is one supervision step, and a carry goes from step to step. Calling the network is a training step.
    """

    #: The batch field that holds what should be answered: int32 [B, S], -100 where nothing is asked.
    label_field: str
    #: Uniform random numbers that a row takes in a training step.
    draws_per_row: int
    #: A row [E] for each puzzle identifier, with sparse gradients and an optimizer of its own; None without one.
    puzzle_embedding: nn.Embedding | None

    def __init__(self, config: NetworkConfig, *, vocab_size: int, seq_len: int, forward_dtype: str) -> None:
        """forward_dtype: the type of activations. Raises ValueError where there is no such type."""
        super().__init__()
        self.config = config
        self.vocab_size = vocab_size
        self.seq_len = seq_len
        self.dtype = forward_dtype_named(forward_dtype)

    # --- What it is ---

    @property
    def halt_max_steps(self) -> int:
        """Most supervision steps of a row in training, and the steps of an evaluation."""
        return self.config.halt_max_steps

    @property
    @abstractmethod
    def positions(self) -> int:
        """L, the positions of a carried state."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    # --- A step ---

    @abstractmethod
    def initial_carry(self, batch: Batch) -> Carry:
        """The carry before the first step: all rows halted, everything zero; the first step takes every row in."""

    @abstractmethod
    def initial_states(self) -> dict[str, Tensor]:
        """What each carried state starts from: [D] by name."""

    def outline(self, fields: Batch) -> dict[str, Tensor]:
        """What the shapes of a step follow from, of rows in host memory: [B, ...] by name; nothing where they are
        always the same.
        """
        del fields
        return {}

    def layout(self, known: Mapping[str, Tensor], steps: Tensor) -> Any:
        """Precompute the shapes of a step, so that `advance` waits for no device: a tree of tensors and numbers.

        known: their `outline`; steps int [B]: those done on the present puzzle before this one, 0 for a row that is
        taken in. All in host memory.
        """

    @abstractmethod
    def advance(
        self,
        carry: Carry,
        batch: Batch,
        clock: StepClock = SETTLED,
        draws: Tensor | None = None,
        layout: Any = None,
    ) -> tuple[Carry, Outputs]:
        """Run one supervision step; return the carry after it, detached, and its outputs.

        Halted rows take the incoming row of the batch first. draws: uniform [B, draws_per_row] in training; None in
        evaluation, where every row goes to halt_max_steps. layout: precomputed shapes of these rows, with its tensors
        on the device; None: shapes are read from the rows.
        """

    @abstractmethod
    def forward(
        self,
        carry: Carry,
        batch: Batch,
        clock: StepClock = SETTLED,
        draws: Tensor | None = None,
        layout: Any = None,
    ) -> StepResult:
        """`advance`, then losses and metrics on the labels of the carried rows; what is learnt without a gradient."""

    # --- What a step says ---

    @abstractmethod
    def answer(self, outputs: Outputs) -> Tensor:
        """The predicted tokens, int64 [B, S]."""

    @abstractmethod
    def wants_halt(self, outputs: Outputs) -> Tensor:
        """Return which rows the halting head would halt with this answer, bool [B]."""

    def halts(self, outputs: Outputs, policy: str) -> Tensor:
        """Return which rows an evaluation lets go after this step, bool [B]: none where the policy is `full`, those
        that the halting head would halt where it is `bce`. Raises ValueError for a policy that it does not have.
        """
        if policy not in ("full", "bce"):
            raise ValueError(f"This network has no policy {policy!r}: it decides by its halting head (bce), or not.")
        wants = self.wants_halt(outputs)
        return wants if policy == "bce" else torch.zeros_like(wants)

    @abstractmethod
    def label_nats(self, outputs: Outputs, labels: Tensor) -> Tensor:
        """Return the negative log-likelihood of each label [B, S] in nats: float32 [B, S], 0 where it is ignored."""

    def text_reader(self, window: int, steps: int | None = None) -> TextReader:
        """What reads a text of at most `window` tokens at once and tells what follows. steps: supervision steps, where
        a text has no number of its own; default halt_max_steps. Raises ValueError where the network looks ahead.
        """
        del window, steps
        raise ValueError("The network looks ahead (causal: false): it cannot write what it has not seen.")

    # --- What trains it ---

    def trunk_parameters(self) -> Iterator[nn.Parameter]:
        """What the main optimizer and the average see: all but the puzzle table."""
        table = None if self.puzzle_embedding is None else self.puzzle_embedding.weight
        return (parameter for parameter in self.parameters() if parameter is not table)

    @abstractmethod
    def block_matrices(self) -> Iterator[nn.Parameter]:
        """The weights of maps from features to features: not embeddings, not heads, no vector."""

    @abstractmethod
    def gradient_groups(self) -> dict[str, list[nn.Parameter]]:
        """The parameter groups whose gradients are measured and clipped separately: a partition of the trunk."""

    @abstractmethod
    def recompute_activations(self) -> None:
        """Enable activation checkpointing: keep only the input of each recursive call, and run the call again in the
        backward pass.
        """

    @abstractmethod
    def compile_stacks(self, **options: Any) -> None:
        """Compile the recursion, or all that is around it, by `kernels.compiling.compiled` with its options."""

    def share_rows(self, ranks: AllRanks) -> None:
        """Use the rows of all processes for what is learnt from a whole batch; does nothing where each row is learnt
        separately.
        """

    def new_puzzle_table(self, rows: int) -> nn.Embedding | None:
        """A table of zeros [rows, puzzle_emb_ndim]; None where the configuration has none."""
        if not self.config.puzzle_emb_ndim:
            return None
        width = self.config.puzzle_emb_ndim
        return nn.Embedding(rows, width, _weight=torch.zeros(rows, width), sparse=True)

    # --- What it costs ---

    @abstractmethod
    def blank_batch(self, rows: int, device: torch.device | str) -> dict[str, Tensor]:
        """Zeros in every field of a batch."""

    @abstractmethod
    def components(self, measured: Measured, rows: int) -> list[Component]:
        """The parts in the order in which a row goes through them. measured: an update of `rows` rows."""
