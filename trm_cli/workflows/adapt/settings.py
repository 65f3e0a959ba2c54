"""How the new tasks are trained: the settings of the source's run, with what suits a short training on few tasks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trm_cli.config.dump import override
from trm_cli.errors import UsageError

if TYPE_CHECKING:
    from trm_cli.config.compose import Resolved
    from trm_cli.training.run.sealed_config import Sealed
    from trm_cli.workflows.adapt.request import AdaptRequest

#: Keys that the command decides.
DECIDED = (
    "model", "data_paths", "data_paths_test", "checkpoint_path", "init_from", "load_checkpoint", "puzzle_emb_init",
    "epochs", "step_rounding", "eval_interval", "checkpoint_interval", "keep_every",
)  # fmt: skip
_MOST_ROWS = 128  # of an update: NVARC's recipe
_WARMUP_UPDATES = 200
_AVERAGED_SHARE = 0.1  # of the updates: the average forgets the source within the training


@dataclass(frozen=True)
class Source:
    """The trained model that new tasks begin from. name: of its run, or of its file."""

    name: str
    sealed: Sealed

    @property
    def demonstrated(self) -> bool:
        """Whether its network reads the demonstrations of a task, and needs no row for it."""
        return self.sealed.config.board_side is not None

    @property
    def side(self) -> int:
        """Side of the canvas that its network reads."""
        metadata, board_side = self.sealed.metadata, self.sealed.config.board_side
        if board_side is None:
            return math.isqrt(metadata.seq_len)
        from trm_cli.data.stream.shape import stream_shape

        return stream_shape(metadata, board_side, str(self.sealed.checkpoint)).side

    def settings(self, words: list[str]) -> Resolved:
        """The settings of its run, changed by `words`. Raises ConfigError."""
        from trm_cli.training.run.sealed_config import sealed_config

        return sealed_config(self.sealed.summary, self.sealed.checkpoint, words)


def find_source(named: str) -> Source:
    """Find a run's best checkpoint, or a file, and check that it can learn ARC tasks. Raises TrmError."""
    from trm_cli.data.puzzles.kinds import kind_of
    from trm_cli.training.run_files import is_run
    from trm_cli.workflows.trained_model import sealed_of

    sealed = sealed_of(named)
    checkpoint, config = sealed.checkpoint, sealed.config
    home = checkpoint.parent
    source = Source(home.resolve().name if is_run(home) else Path(named).stem, sealed)
    if source.demonstrated:
        if not (source.side and sealed.metadata.extra.get("demonstrations")):
            raise UsageError(
                f"{named} was trained on rows without demonstrations: it cannot know what a new task asks for",
                hint="build its dataset with --demonstrations 3",
            )
        return source
    if not kind_of(sealed.metadata).votes:
        raise UsageError(
            f"{named} was trained on {sealed.metadata.kind or 'other'} rows, not on ARC tasks",
            hint="adapt learns ARC tasks; `trm solve` answers boards and mazes without training, mazes of another size "
            "where the architecture allows it",
        )
    if not config.arch.puzzle_emb_ndim:
        raise UsageError(f"{named} has no puzzle table (puzzle_emb_ndim 0): it cannot tell one ARC task from another")
    return source


def check_words(source: Source, words: tuple[str, ...]) -> Resolved:
    """The settings of the source, changed by the words that were typed. Raises ConfigError and UsageError."""
    for word in words:
        key = word.partition("=")[0].lstrip("+")
        if key in DECIDED:
            raise UsageError(f"`{word}`: adapt decides {key} itself", hint="lr, arch.H_cycles, freeze_weights and more")
    warmup = [override(key, value) for key, value in _warmup(words, _WARMUP_UPDATES).items()]
    return source.settings([*warmup, *words])


def training_words(
    source: Source, request: AdaptRequest, *, run: Path, data: Path, samples_per_epoch: Any, updates: int
) -> list[str]:
    """All settings of a training of `updates` updates on `data` in `run`.

    The plan holds at least one update more: the one that is left out would be followed by an evaluation of every
    augmentation, which says nothing where outputs are unknown.
    """
    rows = min(source.sealed.config.global_batch_size, _MOST_ROWS)
    ema_rate = min(source.sealed.config.ema_rate, 1 - 1 / max(2.0, _AVERAGED_SHARE * updates))
    minutes = 2.0 if request.budget is None else min(10.0, max(0.1, request.budget / 60 / 30))
    suggested: dict[str, Any] = {
        "global_batch_size": rows,
        "ema_rate": round(ema_rate, 6),
        **_warmup(request.words, updates),
        "checkpoint_minutes": minutes,
        "keep_checkpoints": 1,
        "log_interval": max(1, updates // 200),
        "wandb": "disabled",
    }
    typed = [*(override(key, value) for key, value in suggested.items()), *request.words]
    batch = source.settings(typed).config.global_batch_size
    epochs = math.ceil((updates + 1) * batch / samples_per_epoch)
    decided: dict[str, Any] = {
        "data_paths": [str(data)],
        "data_paths_test": [],
        "checkpoint_path": str(run),
        "init_from": str(source.sealed.checkpoint),
        "puzzle_emb_init": request.rows,
        "epochs": epochs,
        "step_rounding": "whole_run",
        "eval_interval": epochs,
        "checkpoint_interval": epochs,
    }
    nothing = ["load_checkpoint=null", "keep_every=null"]
    return [*typed, *(override(key, value) for key, value in decided.items()), *nothing]


def _warmup(words: tuple[str, ...], updates: int) -> dict[str, Any]:
    """The keys of the warm-up: one states its end, the other one is null."""
    typed = {word.partition("=")[0].lstrip("+") for word in words}
    if "lr_warmup_steps" in typed:
        return {"lr_warmup_ratio": None}
    ratio = round(min(0.1, _WARMUP_UPDATES / updates), 6)
    return {"lr_warmup_steps": None} | ({} if "lr_warmup_ratio" in typed else {"lr_warmup_ratio": ratio})
