"""Every number that shapes the network, checked once, before any tensor is made."""

from __future__ import annotations

from dataclasses import dataclass

from trm_cli.models.hesc.geometry import CanvasGeometry


@dataclass(frozen=True, kw_only=True)
class HescSettings:
    """The settings of one network; the architecture files say what each means.

    Raises ValueError, a sentence about the first number that cannot work.
    """

    hidden_size: int
    num_heads: int
    expansion: float = 4.0
    canvas_size: int = 224
    patch_size: int = 14
    cell_size: int = 7
    encoder_layers: int = 2
    encoder_cycles: int = 3
    num_registers: int = 8
    capsule_rows: int = 3
    capsule_columns: int = 4
    children_per_capsule: int = 4
    checksum_dim: int = 32
    H_cycles: int = 5
    L_cycles: int = 5
    L_layers: int = 4
    halt_max_steps: int = 64
    decoder_layers: int = 1
    rope_theta: float = 10000.0
    puzzle_emb_ndim: int = 0
    latent_planning_paths: int = 4
    latent_planning_depth: int = 2
    latent_planning_layers: int = 2
    latent_planning_solo_ratio: float = 0.25
    mtp_num_depths: int = 3
    vq_codes: int = 2048
    vq_dim: int = 64
    vq_decay: float = 0.99
    memory_capacity: int = 16384
    memory_key_dim: int = 64
    memory_top_k: int = 32
    q_hidden_dim: int = 256
    dqn_gamma: float = 0.99
    dqn_tau: float = 0.005
    replay_capacity: int = 50000
    replay_min_size: int = 1000
    replay_samples_per_row: int = 4
    replay_recent_fraction: float = 0.25
    replay_recent_window: int = 1000
    reward_step_cost: float = 0.01
    reward_correct: float = 1.0
    reward_incorrect: float = -0.5
    expand_threshold: float = 0.5
    halt_loss_weight: float = 0.5
    td_loss_weight: float = 0.5
    mtp_loss_weight: float = 0.5
    checksum_loss_weight: float = 0.05
    map_diversity_loss_weight: float = 0.01
    reconstruction_loss_weight: float = 0.5
    vq_loss_weight: float = 0.25
    planner_value_loss_weight: float = 0.1
    planner_balance_loss_weight: float = 0.01
    planner_diversity_loss_weight: float = 0.01
    enable_latent_planning: bool = True
    enable_expansion: bool = True
    enable_dqn: bool = True
    enable_mtp: bool = True
    enable_vq: bool = True
    enable_memory: bool = True
    enable_reconstruction: bool = True
    forward_dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.hidden_size % (2 * self.num_heads):
            raise ValueError(
                f"hidden_size {self.hidden_size} does not divide into {self.num_heads} heads of even width."
            )
        if self.num_registers < 2:
            raise ValueError("num_registers is at least 2: one holds the puzzle, one the role.")
        if self.puzzle_emb_ndim not in (0, self.hidden_size):
            raise ValueError("puzzle_emb_ndim is 0 (no table) or hidden_size.")
        if min(self.H_cycles, self.L_cycles, self.L_layers, self.halt_max_steps, self.encoder_cycles) < 1:
            raise ValueError("H_cycles, L_cycles, L_layers, encoder_cycles and halt_max_steps are at least 1.")
        if self.enable_mtp and self.mtp_num_depths < 2:
            raise ValueError(
                "mtp_num_depths counts the next token as the first depth; use 2 or more, or enable_mtp: false."
            )
        if (
            self.enable_latent_planning
            and min(self.latent_planning_paths, self.latent_planning_depth, self.latent_planning_layers) < 1
        ):
            raise ValueError(
                "A planner has at least one path, one thought and one layer; or use enable_latent_planning: false."
            )
        _ = self.geometry

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
