"""The keys of the HESC family (Hierarchical Expandable Semantic Capsules)."""

from __future__ import annotations

from typing import ClassVar, Literal

from trm_cli.config.fields import Section, Whole, Word, count, key, ratio


class HescArch(Section):
    """One recursive model for text, pictures and puzzles over a fixed working set of capsules."""

    scheduled: ClassVar[tuple[str, ...]] = (
        "lr",
        "puzzle_emb_lr",
        "expansion_penalty",
        "q_temperature",
        "epsilon",
        "dqn_warmup",
    )

    name: Word = key("", "name of the architecture file, and of the default run directory", resume="free")
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
    puzzle_emb_ndim: Whole = key(1024, "learned numbers for each puzzle identifier; 0 = none", resume="fatal",
                                 ge=0, le=1_048_576)  # fmt: skip

    canvas_size: Whole = count(224, "side of the square canvas", resume="fatal", unit="pixels")
    patch_size: Whole = count(14, "side of a patch; divides canvas_size", resume="fatal", unit="pixels")
    encoder_layers: Whole = count(2, "blocks of the encoder", resume="fatal", unit="blocks")
    encoder_H_cycles: Whole = count(2, "outer cycles of the encoder", resume="fatal", unit="cycles")
    encoder_L_cycles: Whole = count(3, "inner cycles of the encoder", resume="fatal", unit="cycles")
    num_registers: Whole = count(8, "slots for the puzzle's identity and role", resume="fatal", unit="slots")
    num_capsules: Whole = count(12, "sketches of the canvas", resume="fatal", unit="slots")
    num_children: Whole = count(4, "finer slots that EXPAND opens under each capsule", resume="fatal", unit="slots")
    checksum_dim: Whole = count(32, "numbers that measure what a sketch lost of its children", resume="fatal")

    enable_latent_planning: bool = key(True, "continuous thoughts between recursion and answer", resume="fatal")
    latent_planning_paths: Whole = count(4, "paths that think side by side", resume="fatal", unit="paths")
    latent_planning_depth: Whole = count(2, "thoughts on each path", resume="fatal", unit="thoughts")
    latent_planning_layers: Whole = count(2, "blocks of the planner", resume="fatal", unit="blocks")

    enable_dqn: bool = key(True, "let a Q-network choose HALT, CONTINUE or EXPAND", resume="fatal")
    enable_expansion: bool = key(True, "allow EXPAND", resume="fatal")
    q_state_dim: Whole = count(128, "numbers that z_H gives to the Q-state", resume="fatal")
    q_hidden_dim: Whole = count(256, "width of the Q-network", resume="fatal")
    dqn_gamma: float = ratio(0.99, "discount of later rewards", unit="")
    dqn_tau: float = ratio(0.005, "share by which the target network follows at each update", unit="")
    replay_capacity: Whole = count(50_000, "transitions that are kept", resume="fatal", unit="transitions")
    replay_batch_size: Whole = count(128, "transitions for each update", resume="replan", unit="transitions")
    replay_min_size: Whole = count(1_000, "transitions before the first update", resume="replan", unit="transitions")
    replay_recent_fraction: float = ratio(0.25, "share drawn from the newest 1,000", unit="of a batch")
    reward_step_cost: float = key(0.01, "what each further step costs", resume="replan", ge=0, le=10)
    reward_correct: float = key(1.0, "reward of an exact answer at the end", resume="replan", ge=-10, le=10)
    reward_incorrect: float = key(-0.5, "reward of another answer at the end", resume="replan", ge=-10, le=10)

    enable_mtp: bool = key(True, "predict several text tokens ahead", resume="fatal")
    mtp_num_depths: Whole = count(3, "tokens ahead, the next one included", resume="fatal", unit="tokens")
    enable_vq: bool = key(False, "quantise capsules to a codebook of concepts", resume="fatal")
    vq_codes: Whole = count(2_048, "concepts in the codebook", resume="fatal", unit="codes")
    vq_dim: Whole = count(64, "numbers in a code", resume="fatal")
    enable_memory: bool = key(False, "read solved states from an episodic memory", resume="fatal")
    memory_capacity: Whole = count(16_384, "states that are remembered", resume="fatal", unit="states")
    memory_top_k: Whole = count(32, "states that one read mixes", resume="fatal", unit="states")

    halt_loss_weight: float = key(0.5, "weight of the halting loss", resume="replan", ge=0, le=1_000)
    td_loss_weight: float = key(0.5, "weight of the Q-network's loss", resume="replan", ge=0, le=1_000)
    mtp_loss_weight: float = key(0.5, "weight of the tokens further ahead", resume="replan", ge=0, le=1_000)
    checksum_loss_weight: float = key(0.05, "weight of the checksum residual", resume="replan", ge=0, le=1_000)
    diversity_loss_weight: float = key(0.01, "weight that keeps capsules and paths apart", resume="replan",
                                       ge=0, le=1_000)  # fmt: skip
    planner_loss_weight: float = key(0.1, "weight of the planner's value", resume="replan", ge=0, le=1_000)
    vq_loss_weight: float = key(0.25, "weight of the codebook commitment", resume="replan", ge=0, le=1_000)

    def conflicts(self) -> list[tuple[str, str]]:
        """Sizes that do not divide each other."""
        found = []
        if self.hidden_size % self.num_heads:
            found.append(("num_heads", f"{self.num_heads} heads do not divide hidden_size {self.hidden_size}"))
        if self.canvas_size % self.patch_size:
            found.append(("patch_size", f"{self.patch_size} does not divide canvas_size {self.canvas_size}"))
        return found
