"""Declare every key of a run: type, unit, range, default and meaning; `configs/cfg_pretrain.yaml` states them all.

Each annealed quantity ends at a ratio of the run. Its older `*_steps` key (an absolute step) still works alone; a
resolved config holds exactly one of the two, the other is null, so that the plan knows which one was written.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from trm_cli.keys import MAX_COUNT, Section, Whole, Word, Words, count, key, ratio
from trm_cli.models.families import FAMILIES
from trm_cli.models.network_config import NetworkConfig
from trm_cli.paths import LONGEST_NAME, longest_name, mistyped_path

if TYPE_CHECKING:
    Arch = NetworkConfig
else:
    #: The configuration of any family, told apart by `family:`.
    Arch = Annotated[reduce(or_, FAMILIES.values()), Field(discriminator="family")]

Curve = Literal["linear", "cosine", "exponential"]
Interval = Annotated[Whole, Field(ge=1, le=MAX_COUNT)]
Threads = Annotated[Whole, Field(ge=1, le=4_096)]


def _older_steps(ratio_key: str) -> Any:
    """Declare the key that states the same boundary as `ratio_key` in steps."""
    return count(None, f"older form of {ratio_key}", resume="replan", unit="steps", least=0)


class RunConfig(Section):
    """The configuration of a run: flat, as `cfg_pretrain.yaml` is, but for the group `arch`."""

    # Keys whose steps form and ratio form exclude each other.
    legacy_steps: ClassVar[Mapping[str, str]] = {
        f"{name}_steps": f"{name}_ratio"
        for name in ("lr_warmup", "expansion_anneal", "q_temperature_anneal", "dqn_warmup")
    }

    model: Word = key("vision-unified", "entry of configs/models/ that this run belongs to", resume="free")
    arch: Arch

    # What it reads. The dataset's fingerprint is checked on resume, wherever the directory has moved to.
    data_paths: Words = key(("datasets/vision_unified",), "dataset directories", resume="free")
    data_paths_test: Words = key((), "directories to evaluate on; empty = the test split of data_paths", resume="free")

    # How long, and in what portions.
    global_batch_size: Whole = key(32, "rows of one update, over all processes", resume="fatal", unit="rows",
                                   ge=1, le=1_048_576)  # fmt: skip
    epochs: Whole = key(100, "passes over the groups of the dataset", resume="replan", unit="epochs",
                        ge=1, le=1_000_000_000)  # fmt: skip
    step_rounding: Literal["per_epoch", "whole_run"] = key(
        "per_epoch", "drop the last partial batch of every epoch, or only of the run", resume="replan"
    )
    seed: Whole = key(0, "root of every random number", resume="fatal", ge=0, le=2**63 - 1)

    # When it looks up from its work.
    eval_interval: Whole = count(10, "evaluate every so many epochs", resume="free", unit="epochs")
    eval_batches: Whole | None = count(None, "batches of one evaluation; null = all", resume="free", unit="batches")
    eval_batch_size: Whole | None = key(
        None, "rows of one evaluation batch, over all processes; null = global_batch_size, or 256 where that is more",
        resume="free", unit="rows", ge=1, le=1_048_576,
    )  # fmt: skip
    log_interval: Interval | Literal["auto"] = key(
        "auto", "write metrics every so many steps; auto = each, on a GPU 10: reading them waits for it", resume="free",
        unit="steps",
    )  # fmt: skip
    checkpoint_interval: Whole | None = count(
        None, "save every so many epochs; null = eval_interval", resume="free", unit="epochs"
    )
    checkpoint_minutes: float | None = key(15.0, "save at least this often; null = never by the clock", resume="free",
                                           unit="minutes", gt=0, le=1_000_000)  # fmt: skip
    keep_checkpoints: Whole = count(3, "newest checkpoints that are kept, beside the best", resume="free")
    keep_every: Whole | None = count(
        None, "save every so many epochs and never delete it; null = none", resume="free", unit="epochs"
    )
    checkpoint_path: Word = key("checkpoints/multimodal-hesc", "where the run is written and found", resume="free")
    load_checkpoint: Word | None = key(
        None, "file to start from; null = continue checkpoint_path/latest.pt", resume="free"
    )
    init_from: Word | None = key(None, "file whose weights a new run takes, at step 0; null = none", resume="free")
    puzzle_emb_init: Literal["mean", "zero"] = key(
        "mean", "rows of puzzles that init_from does not know: the mean of the others, or zero", resume="free"
    )
    save_carry: bool = key(True, "store the recurrent state; without it a resumed run differs", resume="free")

    # The optimizer.
    optimizer: Literal["adam_atan2", "adamw", "muon"] = key(
        "adam_atan2", "optimizer of the trunk; muon = for the matrices of the blocks, adam_atan2 for the rest",
        resume="fatal",
    )  # fmt: skip
    lr: float = key(1e-4, "learning rate after the warm-up", resume="replan", gt=0, le=10)
    lr_min_ratio: float = ratio(1.0, "share of lr at the end of the cosine; 1 = constant", unit="of lr")
    lr_warmup_ratio: float | None = ratio(0.04, "linear warm-up")
    lr_warmup_steps: Whole | None = _older_steps("lr_warmup_ratio")
    beta1: float = key(0.9, "decay of the first moment", resume="replan", ge=0, lt=1)
    beta2: float = key(0.95, "decay of the second moment", resume="replan", ge=0, lt=1)
    weight_decay: float = key(0.1, "decoupled weight decay", resume="replan", ge=0, le=100)
    puzzle_emb_lr: float = key(1e-2, "learning rate of the puzzle table", resume="replan", ge=0, le=10)
    puzzle_emb_weight_decay: float = key(0.1, "weight decay of the rows that are seen", resume="replan", ge=0, le=100)
    freeze_weights: bool = key(False, "train the puzzle table alone", resume="replan")
    grad_clip: float | None = key(None, "largest norm of the gradient of each part; null = no clipping",
                                  resume="replan", gt=0, le=1_000_000)  # fmt: skip
    nonfinite_limit: Whole = count(3, "stop after so many updates in a row that were not finite", resume="free",
                                   unit="updates")  # fmt: skip
    ema: bool = key(True, "evaluate an average of the weights", resume="fatal")
    ema_rate: float = key(0.999, "how much of the average each step keeps", resume="replan", ge=0, lt=1)

    ema_start_ratio: float = ratio(0.0, "until then the average is the weights themselves: a short run is not an "
                                   "average with its first steps")  # fmt: skip

    # The machine.
    device: Literal["auto", "cpu", "cuda", "mps"] = key("auto", "where to compute", resume="free")
    precision: Literal["auto", "float32", "bfloat16", "float16"] = key(
        "auto", "number format; another one rounds otherwise", resume="free"
    )
    micro_batch_size: Whole | None = key(
        None, "rows computed at once; null = all rows of a batch; multimodal_hesc keeps what it sees slice by slice",
        resume="free", unit="rows", ge=1, le=1_048_576,
    )  # fmt: skip
    activation_checkpointing: bool = key(False, "compute activations twice instead of keeping them", resume="free")
    compile: Literal["auto", "graphs"] | bool = key(
        "auto", "compile the network; auto = on CUDA devices; graphs = and replay it as CUDA graphs", resume="free"
    )
    deterministic: bool = key(
        False, "on CUDA: kernels of torch whose sums are the same in every run; slower", resume="free"
    )
    sharding: Literal["none", "fsdp"] = key(
        "none", "fsdp = each of several processes keeps a part of weights, moments and average", resume="free"
    )
    threads: Threads | Literal["auto"] = key("auto", "CPU threads", resume="free", unit="threads")
    wandb: Literal["auto", "online", "offline", "disabled"] = key(
        "auto", "Weights & Biases; auto = online when logged in, else offline", resume="free"
    )
    wandb_project: Word = key("trm", "project at Weights & Biases", resume="free")
    profile: bool = key(
        False, "trace a few updates, and log the shares of data, forward, backward and optimizer time", resume="free"
    )
    tensorboard: bool = key(False, "write event files for TensorBoard as well", resume="free")

    price_per_hour: float | None = key(
        None, "price of an hour of this machine, in any currency, for forecast and report; null = unknown",
        resume="free", ge=0, le=1_000_000,
    )  # fmt: skip

    # What is annealed over the run, for architectures that expand and explore.
    dqn_warmup_ratio: float | None = ratio(0.1, "Q-learning starts after this share")
    dqn_warmup_steps: Whole | None = _older_steps("dqn_warmup_ratio")
    expansion_penalty_schedule: Curve = key("cosine", "curve of the cost of EXPAND", resume="replan")
    expansion_penalty_start: float = key(0.1, "cost of EXPAND at first", resume="replan", ge=0, le=100)
    expansion_penalty_end: float = key(0.001, "cost of EXPAND at last", resume="replan", ge=0, le=100)
    expansion_anneal_ratio: float | None = ratio(0.5, "share in which the cost falls")
    expansion_anneal_steps: Whole | None = _older_steps("expansion_anneal_ratio")
    q_temperature_schedule: Curve = key("exponential", "curve of the sampling temperature", resume="replan")
    q_temperature_start: float = key(1.0, "temperature at first", resume="replan", gt=0, le=1_000)
    q_temperature_end: float = key(0.1, "temperature at last", resume="replan", gt=0, le=1_000)
    q_temperature_anneal_ratio: float | None = ratio(1.0, "share in which it falls")
    q_temperature_anneal_steps: Whole | None = _older_steps("q_temperature_anneal_ratio")
    epsilon_start: float = ratio(0.3, "share of random actions at first", unit="of actions")
    epsilon_end: float = ratio(0.05, "share of random actions at last", unit="of actions")
    epsilon_anneal_ratio: float = ratio(0.5, "share in which it falls, linearly")

    @property
    def board_side(self) -> int | None:
        """Cells along one side of the largest grid that the model takes from a stream; None for a model of tokens."""
        return self.arch.largest_board

    def conflicts(self) -> list[tuple[str, str]]:
        """Find boundaries with neither ratio nor step, two files to begin from, nothing to train, names too long."""
        found = []
        for name in ("checkpoint_path", "load_checkpoint", "init_from", "data_paths", "data_paths_test"):
            value = getattr(self, name)
            for path in (value,) if isinstance(value, str) else value or ():
                if (longest := longest_name(path)) > LONGEST_NAME:
                    found.append((name, f"a name in it is {longest:,} bytes long, and {LONGEST_NAME} are possible"))
                    break
                if meant := mistyped_path(path):
                    found.append((name, meant))
                    break
        if self.init_from is not None and self.load_checkpoint is not None:
            found.append(("init_from", "takes weights alone, load_checkpoint goes on with a whole state: keep one"))
        if self.freeze_weights and not getattr(self.arch, "puzzle_emb_ndim", 0):
            found.append(("freeze_weights", "trains the puzzle table alone, and this architecture has none"))
        if self.optimizer == "muon" and self.sharding == "fsdp":
            found.append(("optimizer", "muon needs whole matrices, and fsdp keeps parts of them: sharding=none"))
        if self.freeze_weights and self.sharding == "fsdp":
            found.append(("freeze_weights", "leaves nothing to shard: sharding=none"))
        largest = self.arch.largest_batch
        if largest is not None and self.global_batch_size > largest:
            found.append(("global_batch_size", f"{self.global_batch_size:,} rows at once do not fit a replay of "
                          f"{largest:,} transitions (arch.replay_capacity)"))  # fmt: skip
        for steps, share in self.legacy_steps.items():
            if getattr(self, steps) is None and getattr(self, share) is None:
                found.append((share, f"is null, and so is {steps}: one of them must say where the change ends"))
        return found
