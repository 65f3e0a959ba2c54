"""Declare the configuration keys of the HESC family (Hierarchical Expandable Semantic Capsules)."""

from __future__ import annotations

from typing import ClassVar, Literal

from trm_cli.keys import Whole, count, key, ratio
from trm_cli.models.hesc.geometry import CanvasGeometry
from trm_cli.models.network_config import NetworkConfig

# A character is one cell wide and two cells high, so a patch that holds whole characters is a multiple of two cells.
_CELLS_OF_A_CHARACTER = 2


class HescConfig(NetworkConfig):
    """One recursive model for text, pictures and puzzles over a fixed working set of capsules."""

    network: ClassVar[str] = "trm_cli.models.hesc.model:MultimodalHesc"

    family: Literal["hesc"] = key("hesc", "family of networks", resume="fatal")

    H_cycles: Whole = count(5, "outer cycles; only the last one has a gradient", resume="fatal", unit="cycles")
    L_cycles: Whole = count(5, "updates of z_L before each update of z_H", resume="fatal", unit="cycles")
    L_layers: Whole = count(4, "blocks in the shared stack", resume="fatal", unit="blocks")
    hidden_size: Whole = key(1024, "width D of every slot", resume="fatal", ge=1, le=65_536)
    num_heads: Whole = key(16, "attention heads; they share hidden_size", resume="fatal", ge=1, le=1_024)
    expansion: float = key(4.0, "SwiGLU width as a multiple of hidden_size, before the factor 2/3", resume="fatal",
                           gt=0, le=64)  # fmt: skip
    rope_theta: float = key(10_000.0, "base of the rotary frequencies (text decoder)", resume="fatal", gt=0, le=1e12)
    halt_max_steps: Whole = key(64, "most supervision steps that a record gets", resume="fatal", unit="steps",
                                ge=1, le=10_000)  # fmt: skip
    puzzle_emb_ndim: Whole = key(1024, "learned numbers for each puzzle identifier: hidden_size, or 0 = none",
                                 resume="fatal", ge=0, le=1_048_576)  # fmt: skip

    canvas_size: Whole = count(224, "side of the square canvas", resume="fatal", unit="pixels")
    patch_size: Whole = count(14, "side of a patch; divides canvas_size", resume="fatal", unit="pixels")
    cell_size: Whole = count(7, "side of a puzzle cell, width of a character", resume="fatal", unit="pixels")
    encoder_layers: Whole = count(2, "blocks of the encoder", resume="fatal", unit="blocks")
    encoder_cycles: Whole = count(3, "passes through the encoder's blocks, all with a gradient", resume="fatal",
                                  unit="cycles")  # fmt: skip
    decoder_layers: Whole = count(1, "blocks of the answer decoder", resume="fatal", unit="blocks")
    num_registers: Whole = count(8, "slots for the puzzle's identity and role", resume="fatal", unit="slots", least=2)
    capsule_rows: Whole = count(3, "rows of the grid of capsules", resume="fatal")
    capsule_columns: Whole = count(4, "columns of the grid of capsules", resume="fatal")
    children_per_capsule: Whole = count(4, "finer slots that EXPAND opens under each capsule", resume="fatal",
                                        unit="slots")  # fmt: skip
    checksum_dim: Whole = count(32, "numbers that measure what a sketch lost of its children", resume="fatal")
    enable_reconstruction: bool = key(True, "draw the canvas back from the capsules", resume="fatal")

    enable_latent_planning: bool = key(True, "continuous thoughts between recursion and answer", resume="fatal")
    latent_planning_paths: Whole = count(4, "paths that think side by side", resume="fatal", unit="paths")
    latent_planning_depth: Whole = count(2, "thoughts on each path", resume="fatal", unit="thoughts")
    latent_planning_layers: Whole = count(2, "blocks of the planner", resume="fatal", unit="blocks")
    latent_planning_solo_ratio: float = ratio(0.25, "training rows that follow one path alone", unit="of rows")

    enable_dqn: bool = key(True, "let a Q-network choose HALT, CONTINUE or EXPAND", resume="fatal")
    enable_expansion: bool = key(True, "allow EXPAND", resume="fatal")
    expand_threshold: float = key(0.5, "checksum error that asks for EXPAND without a Q-network", resume="replan",
                                  ge=0, le=2)  # fmt: skip
    q_hidden_dim: Whole = count(256, "width of the Q-network", resume="fatal")
    dqn_gamma: float = ratio(0.99, "discount of later rewards", unit="")
    dqn_tau: float = ratio(0.005, "share by which the target network follows at each update", unit="")
    replay_capacity: Whole = count(50_000, "transitions that are kept; an older one is gone", resume="fatal",
                                   unit="transitions")  # fmt: skip
    replay_samples_per_row: Whole = count(4, "transitions replayed for each row of the batch", resume="replan",
                                          unit="transitions")  # fmt: skip
    replay_min_size: Whole = count(1_000, "transitions before the first update", resume="replan", unit="transitions")
    replay_recent_fraction: float = ratio(0.25, "share drawn from the newest transitions", unit="of a sample")
    replay_recent_window: Whole = count(1_000, "how many transitions count as newest", resume="replan",
                                        unit="transitions")  # fmt: skip
    reward_step_cost: float = key(0.01, "what each further step costs", resume="replan", ge=0, le=10)
    reward_correct: float = key(1.0, "reward of an exact answer at the end", resume="replan", ge=-10, le=10)
    reward_incorrect: float = key(-0.5, "reward of another answer at the end", resume="replan", ge=-10, le=10)

    enable_mtp: bool = key(True, "predict several text tokens ahead", resume="fatal")
    mtp_num_depths: Whole = count(3, "tokens ahead, the next one included", resume="fatal", unit="tokens", least=2)
    enable_vq: bool = key(True, "give every sketch a code from a book of concepts", resume="fatal")
    vq_codes: Whole = count(2_048, "concepts in the book", resume="fatal", unit="codes")
    vq_dim: Whole = count(64, "numbers in a code", resume="fatal")
    vq_decay: float = ratio(0.99, "how slowly the book follows its assignments", unit="")
    enable_memory: bool = key(True, "read solved states from an episodic memory", resume="fatal")
    memory_capacity: Whole = count(16_384, "states that are remembered", resume="fatal", unit="states")
    memory_key_dim: Whole = count(64, "numbers in a memory key", resume="fatal")
    memory_top_k: Whole = count(32, "states that one read mixes", resume="fatal", unit="states")

    halt_loss_weight: float = key(0.5, "weight of the halting loss", resume="replan", ge=0, le=1_000)
    td_loss_weight: float = key(0.5, "weight of the Q-network's loss", resume="replan", ge=0, le=1_000)
    mtp_loss_weight: float = key(0.5, "weight of the tokens further ahead", resume="replan", ge=0, le=1_000)
    checksum_loss_weight: float = key(0.05, "weight of the checksum residual", resume="replan", ge=0, le=1_000)
    map_diversity_loss_weight: float = key(0.01, "weight that keeps capsules apart", resume="replan", ge=0, le=1_000)
    reconstruction_loss_weight: float = key(0.5, "weight of drawing the canvas back", resume="replan", ge=0, le=1_000)
    vq_loss_weight: float = key(0.25, "weight of the concepts' commitment", resume="replan", ge=0, le=1_000)
    planner_value_loss_weight: float = key(0.1, "weight of the planner's value", resume="replan", ge=0, le=1_000)
    planner_balance_loss_weight: float = key(0.01, "weight of using paths alike", resume="replan", ge=0, le=1_000)
    planner_diversity_loss_weight: float = key(0.01, "weight that keeps paths apart", resume="replan", ge=0, le=1_000)

    # --- What follows ---

    @property
    def geometry(self) -> CanvasGeometry:
        """The canvas."""
        return CanvasGeometry(self.canvas_size, self.patch_size, self.cell_size)

    @property
    def num_capsules(self) -> int:
        """Capsules on their grid."""
        return self.capsule_rows * self.capsule_columns

    @property
    def num_children(self) -> int:
        """Child slots; none without EXPAND."""
        return self.num_capsules * self.children_per_capsule if self.enable_expansion else 0

    @property
    def num_slots(self) -> int:
        """Length of the working set."""
        return self.num_registers + self.num_capsules + self.num_children

    # --- What the rest of the program asks ---

    @property
    def scheduled(self) -> tuple[str, ...]:
        """The values of the clock that this network reads: a plan shows none of a Q-network that is left out."""
        of_the_q_network = ("expansion_penalty", "q_temperature", "dqn_warmup") if self.enable_dqn else ()
        return (*super().scheduled, "epsilon", *of_the_q_network)

    @property
    def largest_board(self) -> int | None:
        """See `NetworkConfig`."""
        return self.canvas_size // 7

    @property
    def learns_row_by_row(self) -> bool:
        """Replay, concepts and memory move slice by slice."""
        return False

    def conflicts(self) -> list[tuple[str, str]]:
        """Sizes that do not divide each other."""
        found = []
        if self.hidden_size % (2 * self.num_heads):
            found.append(
                ("num_heads", f"{self.num_heads} heads of even width do not divide hidden_size {self.hidden_size}")
            )
        if self.canvas_size % self.patch_size:
            found.append(("patch_size", f"{self.patch_size} does not divide canvas_size {self.canvas_size}"))
        if self.patch_size % (_CELLS_OF_A_CHARACTER * self.cell_size):
            found.append(
                (
                    "cell_size",
                    f"characters of {self.cell_size}x{2 * self.cell_size} px do not fill a patch of {self.patch_size}",
                )
            )
        if self.puzzle_emb_ndim not in (0, self.hidden_size):
            found.append(("puzzle_emb_ndim", f"{self.puzzle_emb_ndim} is neither 0 nor hidden_size {self.hidden_size}"))
        return found
