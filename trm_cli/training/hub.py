"""Fetch published models from a Hugging Face hub into its cache: `hf:OWNER/NAME`, or of one revision: `...@v1`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from trm_cli.data.files.durable import sha256_file
from trm_cli.data.files.json_file import read_json
from trm_cli.errors import CheckpointError, UsageError, reading
from trm_cli.paths import is_file
from trm_cli.training.run_files import CARD, FACTS, MEASURED, PLAN, WEIGHTS

HUB = "hf:"
_FILES = [WEIGHTS, FACTS, PLAN, MEASURED, CARD]
LOG_IN = "`hf auth login` stores a token, or set HF_TOKEN"


@lru_cache
def fetch(named: str) -> Path:
    """The folder of a published model in the hub's cache, downloaded where it is not there. Raises TrmError.

    What is in the cache and not what was published is downloaded once more.
    """
    repo, revision = split_name(named)
    for again in (False, True):
        with hub_errors(named):
            folder = Path(
                library().snapshot_download(
                    repo, revision=revision, allow_patterns=_FILES, library_name="trm", force_download=again
                )
            )
        if not is_file(folder / WEIGHTS):
            raise CheckpointError(
                f"{named} is not a model that trm has published: it has no {WEIGHTS}",
                hint=f"weights of other programs: trm checkpoints import {named}/FILE --arch NAME --dataset DIR",
            )
        if as_published(folder / WEIGHTS):
            return folder
    raise CheckpointError(
        f"{named}: the SHA-256 of the downloaded weights does not match its {FACTS}",
        hint="use another revision, and tell its owner",
    )


def as_published(weights: Path) -> bool:
    """Whether the weights of a published model are those that its description names; true where it has none.

    Raises CheckpointError where either cannot be read.
    """
    facts = weights.with_name(FACTS)
    if not is_file(facts):
        return True
    described = read_json(facts, error=CheckpointError)
    with reading(weights):
        return isinstance(described, dict) and described.get("sha256") == sha256_file(weights)


def fetch_file(named: str) -> Path:
    """One file of a model on the hub, `hf:OWNER/NAME/FILE`, in its cache. Raises TrmError."""
    word, _, revision = named.removeprefix(HUB).partition("@")
    owner, _, rest = word.partition("/")
    name, _, file = rest.partition("/")
    if not file:
        raise UsageError(f"{named} names no file", hint="expected hf:OWNER/NAME/FILE")
    with hub_errors(named):
        return Path(library().hf_hub_download(f"{owner}/{name}", file, revision=revision or None, library_name="trm"))


def split_name(named: str) -> tuple[str, str | None]:
    """The repository and the revision (None: the newest) of a name on the hub. Raises UsageError."""
    repo, _, revision = named.removeprefix(HUB).partition("@")
    owner, slash, name = repo.partition("/")
    if not (owner and slash and name) or "/" in name:
        raise UsageError(f"{named} is not the name of a model on the hub", hint="expected OWNER/NAME")
    return repo, revision or None


def library() -> Any:
    """The hub's library, which draws progress bars on a terminal alone."""
    import huggingface_hub

    if not sys.stderr.isatty():
        from huggingface_hub.utils.tqdm import disable_progress_bars

        disable_progress_bars()
    return huggingface_hub


@contextmanager
def hub_errors(named: str) -> Iterator[None]:
    """What the hub's library raises becomes a TrmError that says what to do."""
    from huggingface_hub import errors

    try:
        yield
    except errors.HFValidationError as error:
        raise UsageError(
            f"{named} is not the name of a model on the hub: {error}", hint="expected OWNER/NAME"
        ) from error
    except errors.GatedRepoError as error:
        raise CheckpointError(
            f"{named} is a gated model: request access on its page, then log in", hint=LOG_IN
        ) from error
    except errors.RepositoryNotFoundError as error:
        message = f"the hub has no model {named}, or does not show it to you"
        raise CheckpointError(message, hint=f"check the name; for a private one: {LOG_IN}") from error
    except errors.RevisionNotFoundError as error:
        raise CheckpointError(f"the model has no such revision: {named}") from error
    except errors.LocalEntryNotFoundError as error:
        raise CheckpointError(
            f"the hub is out of reach, and {named} is not in its cache on this machine",
            hint="check the network, HF_ENDPOINT and HF_HUB_OFFLINE",
        ) from error
    except errors.EntryNotFoundError as error:
        raise CheckpointError(f"the hub has no file {named}") from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        hint = LOG_IN if status in (401, 403) else "try again later"
        raise CheckpointError(f"the hub refuses {named}: status {status}", hint=hint) from error
    except Exception as error:  # the class of a broken connection differs between releases of the hub's library
        if isinstance(error, CheckpointError | UsageError):
            raise
        cause = error.__cause__ or error
        what = str(cause).splitlines()[0] if str(cause) else type(cause).__name__
        hint = "the same command continues what was begun"
        raise CheckpointError(f"the transfer of {named} broke off: {what}", hint=hint) from error
