"""Find a published model by its name: a folder, one that comes with the program, or one on the hub."""

from __future__ import annotations

from pathlib import Path

from trm_cli.paths import is_dir
from trm_cli.training.hub import HUB, fetch
from trm_cli.training.run_files import RUNS, is_published

#: The models that come with the program are called `pretrained/NAME`, wherever it is installed.
PRETRAINED = "pretrained"
EVALUATED = Path("evaluated")
_PACKAGE = Path(__file__).resolve().parents[2]
# In a wheel they lie inside the package, in a clone beside it.
SHIPPED = _PACKAGE / "_pretrained" if is_dir(_PACKAGE / "_pretrained") else _PACKAGE.parent / PRETRAINED


def find_published(named: str) -> Path | None:
    """The folder of a published model; None where that is not the name of one. Downloads `hf:OWNER/NAME`.

    Raises TrmError.
    """
    if named.startswith(HUB):
        return fetch(named)
    path = Path(named)
    shipped = [SHIPPED / path.name] if path.parent == Path(PRETRAINED) else []
    return next((folder for folder in (path, RUNS / named, *shipped) if is_published(folder)), None)


def results_of(folder: Path) -> Path:
    """The folder below which results about a published model are kept: its own; `evaluated/NAME` where that is not the
    user's but the program's or the hub's cache.
    """
    if folder.resolve().parent == SHIPPED:
        return EVALUATED / folder.name
    if folder.parent.name == "snapshots":
        return EVALUATED / folder.parents[1].name.removeprefix("models--")
    return folder


def pretrained() -> list[str]:
    """The names of the models that come with the program."""
    found = sorted(SHIPPED.iterdir()) if is_dir(SHIPPED) else []
    return [f"{PRETRAINED}/{folder.name}" for folder in found if is_published(folder)]
