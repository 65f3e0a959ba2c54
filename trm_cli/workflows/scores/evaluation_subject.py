"""Load the subject of an evaluation: a trained model and a dataset that fit each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trm_cli.errors import DatasetError, UsageError, reading
from trm_cli.paths import is_dir

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from trm_cli.evaluation.protocol import Protocol
    from trm_cli.evaluation.rows import Data
    from trm_cli.training.run.sealed_config import Sealed
    from trm_cli.training.run.trained_model import TrainedModel


@dataclass(frozen=True)
class EvaluationRequest:
    """The options of an evaluation; None: as the run is configured."""

    run: str | None = None
    steps: int | None = None
    early_halt: bool = False
    policy: str | None = None
    restarts: int = 1
    views: int = 1
    until_solved: int | None = None
    noise: float = 1.0
    seed: int = 0
    raw: bool = False
    data: tuple[Path, ...] = ()
    split: str = "test"
    limit: int | None = None
    votes: int | None = None
    batch_size: int | None = None
    device: str | None = None
    precision: str | None = None
    predictions: Path | None = None
    out: Path | None = None
    again: bool = False


@dataclass(frozen=True)
class Subject:
    """A model on its device, its data, and the protocol of the evaluation."""

    wanted: EvaluationRequest
    run: Path
    trained: TrainedModel
    data: Data
    protocol: Protocol
    device: torch.device
    precision: str
    batch_size: int

    @property
    def votes(self) -> int | None:
        """Augmentations of each puzzle that are evaluated, None: all. Those of a training set are drawn on the fly."""
        return 1 if self.wanted.votes is None and self.data.split == "train" else self.wanted.votes

    def facts(self) -> dict[str, Any]:
        """Return everything that the numbers depend on: the head of the result, and the key of its partial results."""
        import torch

        from trm_cli.data.files.durable import sha256_file
        from trm_cli.version import __version__

        trained, data = self.trained, self.data
        hint = "the run continues and keeps its newest checkpoints only: try again, or name best.pt"
        with reading(trained.checkpoint, hint=hint):
            digest = sha256_file(trained.checkpoint)
        return {
            "model": {"name": trained.config.model, "architecture": trained.config.arch.name},
            "checkpoint": {"step": trained.step, "weights": trained.weights, "sha256": digest},
            "dataset": {"split": data.split, "fingerprint": data.fingerprint, "kind": data.metadata.kind},
            "protocol": {
                **self.protocol.to_json(),
                "trained_steps": int(trained.model.halt_max_steps),
                "limit": self.wanted.limit,
                "votes": self.votes,
                "batch_size": self.batch_size,
                "device": self.device.type,
                "precision": self.precision,
            },
            "versions": {"trm": __version__, "torch": torch.__version__},
        }


def prepare(wanted: EvaluationRequest, notify: Callable[[str], None]) -> Subject:
    """Load and check everything before any work begins. notify: receives messages for the user. Raises TrmError."""
    from trm_cli.data.opening import open_data
    from trm_cli.evaluation.predictions import check_format
    from trm_cli.training.hardware.devices import choose_device, choose_precision, expect_precision
    from trm_cli.training.hardware.torch_runtime import prepare_threads, set_threads
    from trm_cli.training.run.find_run import find_run
    from trm_cli.workflows.trained_model import sealed_of

    if wanted.split not in ("train", "test"):
        raise UsageError(f"--split is {wanted.split!r}; expected train or test")
    if wanted.predictions is not None:
        check_format(wanted.predictions)
    if wanted.precision is not None:
        expect_precision(wanted.precision)
    sealed = sealed_of(wanted.run or str(find_run(None)))
    checkpoint, config = sealed.checkpoint, sealed.config
    run = _home(wanted.run, checkpoint)
    own = (wanted.split == "test" and config.data_paths_test) or config.data_paths
    data = open_data([str(path) for path in wanted.data or own], wanted.split, board_side=config.board_side)
    _check_sizes(sealed, data)
    _check_policy(wanted, sealed)
    _check_views(wanted, data)

    prepare_threads()  # up to here without torch, which takes seconds to load
    import torch

    from trm_cli.training.run.datasets import eval_batch_limit
    from trm_cli.training.run.trained_model import load_trained

    device = choose_device(wanted.device or "auto").value
    precision = choose_precision(wanted.precision or config.precision, device).value
    trained = load_trained(
        str(checkpoint), torch.device(device), forward_dtype=precision, raw=wanted.raw, notify=notify
    )
    set_threads(trained.threads)  # as the run computed
    _check_identifiers(trained, data, notify, own=not wanted.data)
    return Subject(
        wanted=wanted,
        run=run,
        trained=trained,
        data=data,
        protocol=_protocol(wanted, trained),
        device=torch.device(device),
        precision=precision,
        batch_size=wanted.batch_size or eval_batch_limit(config),
    )


def _home(named: str | None, checkpoint: Path) -> Path:
    """The folder below which results are kept: that of the run, or of the published model."""
    from trm_cli.training.run.find_run import find_run
    from trm_cli.training.run.published import results_of
    from trm_cli.training.run_files import is_published

    return results_of(checkpoint.parent) if is_published(checkpoint.parent) else find_run(named)


def _check_policy(wanted: EvaluationRequest, sealed: Sealed) -> None:
    if wanted.policy not in (None, "full", "bce", "q"):
        raise UsageError(f"--policy is {wanted.policy!r}; expected q, bce or full")
    if wanted.early_halt and wanted.policy not in (None, "bce"):
        raise UsageError(f"--early-halt asks the halting head, --policy {wanted.policy} does not: give one of them")
    if wanted.policy == "q" and not getattr(sealed.config.arch, "enable_dqn", False):
        raise UsageError(f"--policy q asks the Q-network, and {sealed.config.arch.name} has none")


def _check_views(wanted: EvaluationRequest, data: Data) -> None:
    from trm_cli.data.puzzles.views import views_of

    if wanted.views == 1 and wanted.until_solved is None:
        return
    option = "--until-solved" if wanted.until_solved else "--views"
    views = views_of(data.metadata)
    if views is None:
        raise UsageError(
            f"{option} is for Sudoku and square mazes, whose rules and symmetries are known; "
            f"this is {data.metadata.kind or 'other'} data",
            hint="ARC tasks vote under the augmentations that they were trained with: --votes N",
        )
    if wanted.until_solved and wanted.views > 1:
        raise UsageError("--until-solved makes as many views as a puzzle needs: give --most-views instead of --views")
    if wanted.views > views.count:
        raise UsageError(f"--views {wanted.views}: these puzzles have {views.count} views, the plain one included")


def _protocol(wanted: EvaluationRequest, trained: TrainedModel) -> Protocol:
    from trm_cli.evaluation.protocol import Protocol

    return Protocol(
        steps=wanted.steps or int(trained.model.halt_max_steps),
        early_halt=wanted.early_halt or wanted.policy in ("bce", "q"),
        policy=wanted.policy,
        restarts=wanted.restarts,
        views=wanted.views,
        until_solved=wanted.until_solved,
        noise=wanted.noise,
        seed=wanted.seed,
    )


def _check_sizes(sealed: Sealed, data: Data) -> None:
    """Refuse data that the model cannot read."""
    known, found = sealed.metadata, data.metadata
    where = ", ".join(data.paths)
    for key in ("vocab_size", "seq_len"):
        if getattr(known, key) != getattr(found, key):
            raise DatasetError(
                f"{where} does not fit this model: its {key} is {getattr(found, key)}, the model was made for "
                f"{getattr(known, key)}",
                hint="name a dataset of the same kind and size with --data",
            )


def _check_identifiers(trained: TrainedModel, data: Data, notify: Callable[[str], None], *, own: bool) -> None:
    """Refuse data that the model would read as something else."""
    where = ", ".join(data.paths)
    if _train_fingerprint(data) == trained.dataset_fingerprint:
        return
    table = trained.model.puzzle_embedding
    if table is not None and data.metadata.num_puzzle_identifiers > 1:
        raise DatasetError(
            f"{where} is not the dataset that the run was trained on, so that its puzzle identifiers stand for other "
            "puzzles",
            hint="evaluate on the dataset of the run, built as it was (same flags and seed)",
        )
    if own:
        notify(f"note: {where} is no longer the dataset that the run was trained on (its fingerprint has changed)")


def _train_fingerprint(data: Data) -> str | None:
    """The fingerprint of the training split beside the evaluated one, or None where there is none."""
    from trm_cli.data.opening import data_fingerprint

    if data.split == "train":
        return data.fingerprint
    if not all(is_dir(Path(path) / "train") for path in data.paths):
        return None
    return data_fingerprint(data.paths, "train")
