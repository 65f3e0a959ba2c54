"""Push a published model to a Hugging Face hub, and pull one from it into a folder."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trm_cli.errors import UsageError, writing
from trm_cli.paths import exists
from trm_cli.training.hub import HUB, LOG_IN, fetch, hub_errors, library, split_name
from trm_cli.training.run_files import RUNS, WEIGHTS
from trm_cli.workflows.publish.folder import FILES, publish

if TYPE_CHECKING:
    from trm_cli.workflows.publish.facts import ModelFacts


@dataclass(frozen=True)
class PushRequest:
    """What to push: a run or a checkpoint (None: the run changed last), and how it is published.

    repo: OWNER/NAME. licence: of the weights, an identifier such as apache-2.0, or "". private: shown to its owner.
    """

    run: str | None
    repo: str
    licence: str = ""
    private: bool = False
    raw: bool = False


@dataclass(frozen=True)
class Pushed:
    """What was pushed: `name` takes it wherever a RUN is taken."""

    name: str
    address: str
    step: int
    weights: str
    evaluations: int
    bytes: int


@dataclass(frozen=True)
class Pulled:
    """The folder of a model that was pulled."""

    name: str
    folder: str
    model: str
    step: int
    bytes: int


def push(request: PushRequest, write_card: Callable[[ModelFacts], str]) -> Pushed:
    """Publish a model on the hub, as one commit: either all of it is there or nothing. Raises TrmError."""
    huggingface_hub = library()
    repo, revision = split_name(request.repo)
    name = HUB + repo
    if revision is not None:
        raise UsageError(f"a push makes a new revision of {repo}: it cannot be named", hint=f"expected {repo}")
    if huggingface_hub.get_token() is None:
        raise UsageError("not logged in to the hub", hint=LOG_IN)
    with tempfile.TemporaryDirectory() as place:
        made = publish(request.run, Path(place), name, write_card, licence=request.licence, raw=request.raw)
        api = huggingface_hub.HfApi(library_name="trm")
        message = f"{made.facts.config.model} at step {made.facts.step:,}"
        with hub_errors(name):
            created = api.create_repo(repo, private=request.private or None, exist_ok=True)
            api.upload_folder(repo_id=repo, folder_path=place, allow_patterns=list(FILES), commit_message=message)
    facts = made.facts
    return Pushed(name, str(created), facts.step, facts.weights, len(facts.evaluations), facts.bytes)


def pull(repo: str, out: Path | None = None) -> Pulled:
    """Download a published model into a folder (default: checkpoints/NAME), which appears whole or not at all.

    Every byte of the weights is compared with the checksum that was published. Raises TrmError.
    """
    from trm_cli.training.run.sealed_config import load_sealed

    name = HUB + repo.removeprefix(HUB)
    folder = out or RUNS / split_name(name)[0].partition("/")[2]
    if exists(folder):
        raise UsageError(f"{folder} is there already", hint="--out FOLDER, or delete it")
    cached = fetch(name)
    _, sealed = load_sealed(cached / WEIGHTS)
    with writing(folder, instead="another folder"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".pull-") as place:
            whole = Path(place, "model")
            whole.mkdir()
            for file in FILES:
                if exists(cached / file):
                    shutil.copyfile(cached / file, whole / file)
            whole.replace(folder)
    size = (folder / WEIGHTS).stat().st_size
    return Pulled(name, str(folder), sealed.config.model or "", sealed.step, size)
