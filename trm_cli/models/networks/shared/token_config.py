"""Declare the keys that every token network has, and the interface of a family: stacks, states, recursion."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from trm_cli.keys import Whole, key, ratio
from trm_cli.models.network_config import NetworkConfig

if TYPE_CHECKING:
    from torch import Tensor

    from trm_cli.models.layers.stack import Mixing
    from trm_cli.models.network import StepClock

    States = dict[str, Tensor]
    Stacks = Mapping[str, Callable[[Tensor], Tensor]]
    NoGrad = Callable[[], AbstractContextManager[None]]

Positions = Literal["rope", "rope_2d", "learned", "board", "none"]


class TokenConfig(NetworkConfig, ABC):
    """Width, positions, halting and puzzle embedding; a family adds its keys and implements `think`, which computes on
    the tensors it is given and owns no weights.
    """

    network: ClassVar[str] = "trm_cli.models.networks.shared.token_network:TokenNetwork"

    hidden_size: Whole = key(512, "width D of every position", resume="fatal", ge=1, le=65_536)
    num_heads: Whole = key(8, "attention heads, hidden_size // num_heads wide each", resume="fatal", ge=1, le=1_024)
    expansion: float = key(4.0, "SwiGLU width as a multiple of hidden_size, before the factor 2/3", resume="fatal",
                           gt=0, le=64)  # fmt: skip
    pos_encodings: Positions = key("rope", "how a position is made known", resume="fatal")
    box_rows: Whole = key(0, "rows of a box, for positions that know the board; 0 = a board without boxes",
                          resume="fatal", unit="cells", ge=0, le=16)  # fmt: skip
    box_columns: Whole = key(0, "columns of such a box", resume="fatal", unit="cells", ge=0, le=16)
    rope_theta: float = key(10_000.0, "base of the rotary frequencies", resume="fatal", gt=0, le=1e12)
    halt_max_steps: Whole = key(16, "most supervision steps that a puzzle gets", resume="fatal", unit="steps",
                                ge=1, le=10_000)  # fmt: skip
    halt_exploration_prob: float = ratio(0.1, "share of rows that must not halt early", resume="replan", unit="of rows")
    pre_norm: bool = key(False, "h <- a h + b f(norm(h)) with learned a and b from 3/4 and 1/4, instead of "
                         "h <- norm(h + f(h))", resume="fatal")  # fmt: skip
    gate_norm: bool = key(False, "gated MLPs sigmoid(gate) * norm(gate * up) instead of silu(gate) * up, for "
                          "optimizers with large steps", resume="fatal")  # fmt: skip
    start_noise: float = key(0.0, "standard deviation of a random vector that moves the start of each new puzzle in "
                             "training", resume="replan", ge=0, le=100)  # fmt: skip
    step_noise: float = key(0.0, "the same, of one that moves the states before each step in training", resume="replan",
                            ge=0, le=100)  # fmt: skip
    starts: Whole = key(1, "starts K of which training learns the best one for each row (winner takes all)",
                        resume="fatal", ge=1, le=64)  # fmt: skip
    label_smoothing: float = key(0.0, "share of each target that all tokens get alike", resume="replan", ge=0, lt=1)
    q_weight: float = key(0.5, "weight of the halting loss, and of the continue loss", resume="replan", ge=0, le=100)
    puzzle_emb_ndim: Whole = key(512, "learned numbers for each puzzle identifier; 0 = none", resume="fatal",
                                 ge=0, le=1_048_576)  # fmt: skip
    puzzle_emb_len: Whole = key(16, "positions before the grid that carry them; 0 = as many as they need",
                                resume="fatal", unit="positions", ge=0, le=4_096)  # fmt: skip

    # --- What a family says ---

    @property
    @abstractmethod
    def stacks(self) -> dict[str, int]:
        """Name -> number of blocks of each stack, in the order in which they are made."""

    @property
    def states(self) -> tuple[str, ...]:
        """The carried states, in the order in which their first values are drawn; `z_H` starts from `H_init`."""
        return ("z_H", "z_L")

    @property
    def answer_state(self) -> str:
        """The state that is read as the answer."""
        return "z_H"

    @abstractmethod
    def think(self, z: States, x: Tensor, stacks: Stacks, no_grad: NoGrad) -> States:
        """One supervision step: new states with their graph from states z and embedded input x, [B, L, D] each.

        no_grad: a context in which what is computed gets no gradient.
        """

    def at(self, clock: StepClock) -> Self:
        """The configuration of a step, where some of its numbers are scheduled."""
        del clock
        return self

    @property
    def mixing(self) -> Mixing:
        """How positions learn of each other."""
        return "attention"

    @property
    def learns_to_continue(self) -> bool:
        """Whether halting compares q_halt with a learned q_continue; else with 0."""
        return True

    # --- What follows ---

    @property
    def puzzle_tokens(self) -> int:
        """P, the positions before the grid: 0 without a table; puzzle_emb_len 0 takes as many as a row needs."""
        if self.puzzle_emb_ndim == 0:
            return 0
        return self.puzzle_emb_len or -(-self.puzzle_emb_ndim // self.hidden_size)

    @property
    def box(self) -> tuple[int, int] | None:
        """(rows, columns) of a box of the board; None: it has none."""
        return (self.box_rows, self.box_columns) if self.box_rows and self.box_columns else None

    def conflicts(self) -> list[tuple[str, str]]:
        """Heads without width or of odd width, and puzzle embeddings that do not fit their positions."""
        found = []
        attends = self.mixing == "attention"
        width = self.hidden_size // self.num_heads  # rounded down: the published baseline has 12 heads of 42 in 512
        if attends and not width:
            found.append(("num_heads", f"{self.num_heads} heads of {self.hidden_size} leave no width to each"))
        elif attends and self.pos_encodings == "rope" and width % 2:
            found.append(("num_heads", f"rotary positions need heads of even width; these are {width} wide"))
        elif attends and self.pos_encodings == "rope_2d" and width % 4:
            found.append(("num_heads", f"rope_2d needs a head width that four divides; these are {width} wide"))
        room = self.puzzle_tokens * self.hidden_size
        if self.puzzle_emb_ndim > room:
            found.append((
                "puzzle_emb_len",
                f"{self.puzzle_tokens} positions of width {self.hidden_size} hold {room} numbers, "
                f"puzzle_emb_ndim is {self.puzzle_emb_ndim}",
            ))  # fmt: skip
        if bool(self.box_rows) != bool(self.box_columns):
            found.append(("box_rows", "and box_columns belong together: set both or neither"))
        if self.pos_encodings in ("board", "rope_2d") and self.predicts_next_token:
            found.append(("pos_encodings", f"{self.pos_encodings} is for boards, and a causal network reads a text"))
        if self.starts > 1 and self.states != ("z_H", "z_L"):
            found.append(("starts", "needs one answer state z_H and one scratch state z_L"))
        if self.puzzle_emb_len and not self.puzzle_emb_ndim:
            found.append(("puzzle_emb_len", "positions without puzzle_emb_ndim carry nothing: set both or neither"))
        return found
