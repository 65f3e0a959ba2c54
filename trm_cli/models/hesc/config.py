"""Declare the configuration keys of the HESC family (Hierarchical Expandable Semantic Capsules)."""

from __future__ import annotations

from typing import ClassVar, Literal

from trm_cli.keys import Whole, count, key, ratio
from trm_cli.models.network_config import NetworkConfig


class HescConfig(NetworkConfig):
    """One recursive model for text, pictures and puzzles: tokens, and a workspace of capsules beside them."""

    network: ClassVar[str] = "trm_cli.models.hesc.model:MultimodalHesc"

    family: Literal["hesc"] = key("hesc", "family of networks", resume="fatal")

    # --- Recursion ---
    H_cycles: Whole = count(2, "outer cycles; only the last one has a gradient", resume="fatal", unit="cycles")
    L_cycles: Whole = count(2, "passes over the tokens after each update of the workspace", resume="fatal",
                            unit="cycles")  # fmt: skip
    H_layers: Whole = count(6, "blocks of the workspace", resume="fatal", unit="blocks")
    L_layers: Whole = count(5, "blocks of the tokens of boards and pictures", resume="fatal", unit="blocks")
    text_layers: Whole = count(4, "blocks of the tokens of text", resume="fatal", unit="blocks")
    hidden_size: Whole = key(1024, "width D of every slot of the workspace", resume="fatal", ge=1, le=65_536)
    token_size: Whole = key(512, "width d of every token", resume="fatal", ge=1, le=65_536)
    num_heads: Whole = key(16, "attention heads of slots and of tokens", resume="fatal", ge=1, le=1_024)
    expansion: float = key(4.0, "SwiGLU width as a multiple of the block's width, before the factor 2/3",
                           resume="fatal", gt=0, le=64)  # fmt: skip
    rope_theta: float = key(10_000.0, "base of the rotary frequencies of text", resume="fatal", gt=0, le=1e12)
    halt_max_steps: Whole = key(16, "most supervision steps that a grid or a picture gets", resume="fatal",
                                unit="steps", ge=1, le=10_000)  # fmt: skip
    text_workspace: bool = key(True, "use the capsule workspace for text as well", resume="fatal")
    text_steps: Whole = count(2, "supervision steps of a text", resume="fatal", unit="steps")
    puzzle_emb_ndim: Whole = key(1024, "learned numbers for each puzzle identifier: hidden_size, or 0 = none",
                                 resume="fatal", ge=0, le=1_048_576)  # fmt: skip

    # --- What it reads ---
    board_side: Whole = count(30, "longest side of a grid; larger ones are left out", resume="fatal", unit="cells")
    picture_size: Whole = count(224, "side to which every picture is scaled", resume="fatal", unit="pixels")
    patch_size: Whole = count(14, "side of a patch; divides picture_size", resume="fatal", unit="pixels")

    # --- Workspace ---
    num_registers: Whole = count(8, "slots for the puzzle's identity and role", resume="fatal", unit="slots", least=2)
    capsule_rows: Whole = count(3, "rows of the grid of capsules", resume="fatal")
    capsule_columns: Whole = count(4, "columns of the grid of capsules", resume="fatal")
    child_rows: Whole = count(2, "rows of finer slots that EXPAND opens under each capsule", resume="fatal")
    child_columns: Whole = count(2, "columns of finer slots", resume="fatal")
    checksum_dim: Whole = count(32, "numbers that measure what a sketch lost of its children", resume="fatal")
    pair_slots: Whole = count(12, "slots that remember one demonstration", resume="fatal", unit="slots")

    pair_cells: bool = key(False, "cells attend to the cells of demonstrations; re-reads demonstrations in every step",
                           resume="fatal")  # fmt: skip
    canonical_colours: bool = key(False, "number the colours of a task by what its demonstrations use them for",
                                  resume="fatal")  # fmt: skip
    recompute_demonstrations: bool = key(False, "read demonstrations again in the backward pass, for less memory",
                                         resume="free")  # fmt: skip

    # --- Planner ---
    enable_latent_planning: bool = key(True, "continuous thoughts beside the workspace", resume="fatal")
    latent_planning_paths: Whole = count(4, "paths that think side by side", resume="fatal", unit="paths")
    latent_planning_depth: Whole = count(2, "thoughts on each path", resume="fatal", unit="thoughts")
    latent_planning_layers: Whole = count(2, "blocks of the planner", resume="fatal", unit="blocks")
    latent_planning_solo_ratio: float = ratio(0.25, "training rows that follow one path alone", unit="of rows")

    # --- Actions ---
    enable_dqn: bool = key(True, "let a Q-network choose HALT, CONTINUE or EXPAND", resume="fatal")
    enable_expansion: bool = key(True, "allow EXPAND", resume="fatal")
    expand_together: Whole = count(3, "capsules that one EXPAND opens", resume="fatal", unit="capsules")
    expand_threshold: float = key(0.5, "checksum error that asks for EXPAND without a Q-network", resume="replan",
                                  ge=0, le=2)  # fmt: skip
    q_hidden_dim: Whole = count(256, "width of the Q-network", resume="fatal")
    dqn_gamma: float = ratio(0.99, "discount of later rewards", unit="")
    dqn_tau: float = ratio(0.005, "share by which the target network follows at each update", unit="")
    replay_capacity: Whole = count(50_000, "size of the replay buffer; the oldest transition is overwritten",
                                   resume="fatal", unit="transitions")  # fmt: skip
    replay_samples_per_row: Whole = count(4, "transitions replayed for each row of the batch", resume="replan",
                                          unit="transitions")  # fmt: skip
    replay_min_size: Whole = count(1_000, "transitions before the first update", resume="replan", unit="transitions")
    replay_recent_fraction: float = ratio(0.25, "share drawn from the newest transitions", unit="of a sample")
    replay_recent_window: Whole = count(1_000, "how many transitions count as newest", resume="replan",
                                        unit="transitions")  # fmt: skip
    reward_step_cost: float = key(0.01, "what each further step costs; EXPAND costs at least twice as much",
                                  resume="replan", ge=0, le=10)  # fmt: skip
    reward_correct: float = key(1.0, "reward of an exact answer at the end", resume="replan", ge=-10, le=10)
    reward_incorrect: float = key(-0.5, "reward of another answer at the end", resume="replan", ge=-10, le=10)

    # --- Text ---
    enable_mtp: bool = key(True, "predict several text tokens ahead while training", resume="fatal")
    mtp_num_depths: Whole = count(3, "tokens ahead, the next one included", resume="fatal", unit="tokens", least=2)

    # --- Weights of the losses ---
    demonstration_loss_weight: float = key(
        0.0,
        "weight of the auxiliary loss that predicts each demonstration from the others of its row; 0 = off",
        resume="replan",
        ge=0,
        le=1_000,
    )
    halt_loss_weight: float = key(0.5, "weight of the halting loss", resume="replan", ge=0, le=1_000)
    td_loss_weight: float = key(0.5, "weight of the Q-network's loss", resume="replan", ge=0, le=1_000)
    mtp_loss_weight: float = key(0.5, "weight of the multi-token-prediction loss", resume="replan", ge=0, le=1_000)
    checksum_loss_weight: float = key(0.05, "weight of the checksum residual", resume="replan", ge=0, le=1_000)
    planner_value_loss_weight: float = key(0.1, "weight of the planner's value", resume="replan", ge=0, le=1_000)
    planner_balance_loss_weight: float = key(
        0.01, "weight of the loss that balances the use of the paths", resume="replan", ge=0, le=1_000
    )
    planner_diversity_loss_weight: float = key(
        0.01, "weight of the loss on similarity between paths", resume="replan", ge=0, le=1_000
    )

    # --- What follows ---

    @property
    def num_capsules(self) -> int:
        """Capsules on their grid."""
        return self.capsule_rows * self.capsule_columns

    @property
    def children_per_capsule(self) -> int:
        """Finer slots under each capsule."""
        return self.child_rows * self.child_columns

    @property
    def num_children(self) -> int:
        """Child slots; none without EXPAND."""
        return self.num_capsules * self.children_per_capsule if self.enable_expansion else 0

    @property
    def num_slots(self) -> int:
        """Slots of the workspace that the recursion updates."""
        return self.num_registers + self.num_capsules + self.num_children

    @property
    def patches(self) -> int:
        """Tokens of a picture."""
        return (self.picture_size // self.patch_size) ** 2

    # --- What the rest of the program asks ---

    @property
    def scheduled(self) -> tuple[str, ...]:
        """The values of the clock that this network reads: a plan shows none of a Q-network that is left out."""
        of_the_q_network = ("expansion_penalty", "q_temperature", "dqn_warmup") if self.enable_dqn else ()
        return (*super().scheduled, "epsilon", *of_the_q_network)

    @property
    def largest_board(self) -> int | None:
        """See `NetworkConfig`."""
        return self.board_side

    @property
    def largest_batch(self) -> int | None:
        """A step of all rows is stored at once."""
        return self.replay_capacity if self.enable_dqn else None

    @property
    def learns_row_by_row(self) -> bool:
        """Replay and the balance of the planner's paths move slice by slice."""
        return False

    def conflicts(self) -> list[tuple[str, str]]:
        """Sizes that do not divide each other."""
        found = []
        widths = {"hidden_size": self.hidden_size, "token_size": self.token_size}
        uneven = [f"{name} {width}" for name, width in widths.items() if width % (4 * self.num_heads)]
        if uneven:
            of = " and ".join(uneven)
            found.append(("num_heads", f"{self.num_heads} heads do not divide {of} into multiples of 4"))
        if self.enable_latent_planning and not self.text_workspace:
            found.append(("text_workspace", "thoughts about a text need its workspace: it is on where the planner is"))
        if self.picture_size % self.patch_size:
            found.append(("patch_size", f"{self.patch_size} does not divide picture_size {self.picture_size}"))
        if self.puzzle_emb_ndim not in (0, self.hidden_size):
            found.append(("puzzle_emb_ndim", f"{self.puzzle_emb_ndim} is neither 0 nor hidden_size {self.hidden_size}"))
        return found
