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

    request: EvaluationRequest
    run: Path
    trained: TrainedModel
    data: Data
    protocol: Protocol
    device: torch.device
    precision: str
    batch_size: int

    @property
    def other_data(self) -> bool:
        """Whether --data names another dataset than the run's."""
        return bool(self.request.data) and _train_fingerprint(self.data) != self.trained.dataset_fingerprint

    @property
    def votes(self) -> int | None:
        """Augmentations of each puzzle that are evaluated, None: all. Those of a training set are drawn on the fly."""
        return 1 if self.request.votes is None and self.data.split == "train" else self.request.votes

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
            "dataset": {
                "split": data.split,
                "fingerprint": data.fingerprint,
                "kind": data.metadata.kind,
                **({"other": True} if self.other_data else {}),
            },
            "protocol": {
                **self.protocol.to_json(),
                "trained_steps": int(trained.model.halt_max_steps),
                "limit": self.request.limit,
                "votes": self.votes,
                "batch_size": self.batch_size,
                "device": self.device.type,
                "precision": self.precision,
            },
            "versions": {"trm": __version__, "torch": torch.__version__},
        }


def prepare(request: EvaluationRequest, notify: Callable[[str], None]) -> Subject:
    """Load and check everything before any work begins. notify: receives messages for the user. Raises TrmError."""
    from trm_cli.data.opening import open_data
    from trm_cli.evaluation.predictions import check_format
    from trm_cli.training.hardware.devices import choose_device, choose_precision, expect_precision
    from trm_cli.training.hardware.torch_runtime import prepare_threads, set_threads
    from trm_cli.training.run.find_run import find_run
    from trm_cli.workflows.other_size import other_size, resized
    from trm_cli.workflows.trained_model import sealed_of

    if request.split not in ("train", "test"):
        raise UsageError(f"--split is {request.split!r}; expected train or test")
    if request.predictions is not None:
        check_format(request.predictions)
    if request.precision is not None:
        expect_precision(request.precision)
    sealed = sealed_of(request.run or str(find_run(None)))
    checkpoint, config = sealed.checkpoint, sealed.config
    run = _home(request.run, checkpoint)
    own = (request.split == "test" and config.data_paths_test) or config.data_paths
    data = open_data([str(path) for path in request.data or own], request.split, board_side=config.board_side)
    _check_sizes(sealed, data)
    _check_policy(request, sealed)
    _check_views(request, data)
    _check_votes(request, data)

    prepare_threads()  # up to here without torch, which takes seconds to load
    import torch

    from trm_cli.training.run.datasets import eval_batch_limit
    from trm_cli.training.run.trained_model import load_trained

    device = choose_device(request.device or "auto").value
    precision = choose_precision(request.precision or config.precision, device).value
    trained = load_trained(
        str(checkpoint), torch.device(device), forward_dtype=precision, raw=request.raw, notify=notify
    )
    if data.metadata.seq_len != trained.metadata.seq_len:
        notify("note: " + other_size(trained.metadata.seq_len, data.metadata.seq_len))
        trained = resized(trained, data.metadata.seq_len, torch.device(device), precision)
    set_threads(trained.threads)  # as the run computed
    _check_identifiers(trained, data, notify, own=not request.data)
    return Subject(
        request=request,
        run=run,
        trained=trained,
        data=data,
        protocol=_protocol(request, trained),
        device=torch.device(device),
        precision=precision,
        batch_size=request.batch_size or eval_batch_limit(config),
    )


def _home(named: str | None, checkpoint: Path) -> Path:
    """The folder below which results are kept: that of the run, or of the published model."""
    from trm_cli.training.run.find_run import find_run
    from trm_cli.training.run.published import results_of
    from trm_cli.training.run_files import is_published

    return results_of(checkpoint.parent) if is_published(checkpoint.parent) else find_run(named)


def _check_policy(request: EvaluationRequest, sealed: Sealed) -> None:
    if request.policy not in (None, "full", "bce", "q"):
        raise UsageError(f"--policy is {request.policy!r}; expected q, bce or full")
    if request.early_halt and request.policy not in (None, "bce"):
        raise UsageError(f"--early-halt asks the halting head, --policy {request.policy} does not: give one of them")
    if request.policy == "q" and not getattr(sealed.config.arch, "enable_dqn", False):
        raise UsageError(f"--policy q asks the Q-network, and {sealed.config.arch.name} has none")


def _check_votes(request: EvaluationRequest, data: Data) -> None:
    from trm_cli.data.puzzles.kinds import kind_of

    if request.votes is not None and request.split == "test" and not kind_of(data.metadata).votes:
        raise UsageError(
            f"--votes is for ARC tasks; this is {data.metadata.kind or 'other'} data",
            hint="--views N lets a Sudoku or a maze be seen in N views",
        )


def _check_views(request: EvaluationRequest, data: Data) -> None:
    from trm_cli.data.puzzles.views import views_of

    if request.views == 1 and request.until_solved is None:
        return
    option = "--until-solved" if request.until_solved else "--views"
    views = views_of(data.metadata)
    if views is None:
        raise UsageError(
            f"{option} is for Sudoku and square mazes, whose rules and symmetries are known; "
            f"this is {data.metadata.kind or 'other'} data",
            hint="ARC tasks vote under the augmentations that they were trained with: --votes N",
        )
    if request.until_solved and request.views > 1:
        raise UsageError("--until-solved makes as many views as a puzzle needs: give --most-views instead of --views")
    if request.views > views.count:
        raise UsageError(f"--views {request.views}: these puzzles have {views.count} views, the plain one included")


def _protocol(request: EvaluationRequest, trained: TrainedModel) -> Protocol:
    from trm_cli.evaluation.protocol import Protocol

    return Protocol(
        steps=request.steps or int(trained.model.halt_max_steps),
        early_halt=request.early_halt or request.policy in ("bce", "q"),
        policy=request.policy,
        restarts=request.restarts,
        views=request.views,
        until_solved=request.until_solved,
        noise=request.noise,
        seed=request.seed,
    )


def _check_sizes(sealed: Sealed, data: Data) -> None:
    """Refuse data that the model cannot read: of another kind, or of another size, but for mazes where it may."""
    from trm_cli.data.puzzles.kinds import kind_of
    from trm_cli.workflows.other_size import fixed_by

    known, found = sealed.metadata, data.metadata
    where, mazes = ", ".join(data.paths), kind_of(known).name == kind_of(found).name == "maze"
    fixed = fixed_by(sealed.config.arch, found.seq_len)
    if mazes and known.vocab_size == found.vocab_size and not fixed:
        return
    for key in ("vocab_size", "seq_len"):
        if getattr(known, key) != getattr(found, key):
            raise DatasetError(
                f"{where} does not fit this model: its {key} is {getattr(found, key)}, the model was made for "
                f"{getattr(known, key)}" + (f", and it {fixed}" if mazes and fixed else ""),
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
