"""Find the program that a builder's name refers to, and its environment."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from trm_cli.errors import UsageError
from trm_cli.paths import is_dir, is_file
from trm_cli.shell import command_line

FOLDER = "dataset_builders"
_PACKAGE = Path(__file__).resolve().parents[2]
# In a wheel our builders lie inside the package, in a clone beside it.
_OURS = _PACKAGE / FOLDER if is_dir(_PACKAGE / FOLDER) else _PACKAGE.parent / FOLDER


class BuilderNotAllowed(UsageError):
    """A program from elsewhere would have been started, and nobody has allowed it."""


def _start(command: Sequence[str]) -> None:
    del command


#: Called with the command line right before a builder starts, whoever starts it and for what. `trm` prints it there and
#: refuses programs from elsewhere (commands/builder_gate.py); a Python program that names a builder has decided.
before_start: Callable[[Sequence[str]], None] = _start


@cache
def builders_package() -> str:
    """The name under which our builders are imported: in a clone that is not installed it is that of their folder."""
    inside = f"{_PACKAGE.name}.{FOLDER}"
    spec = importlib.util.find_spec(inside)
    found = spec is not None and spec.origin is not None and Path(spec.origin).resolve().parent == _OURS
    return inside if found else FOLDER


def builder_command(builder: str, flags: Sequence[str]) -> list[str]:
    """Return the command line of a builder.

    `builder` is one of ours (`dataset_builders/sudoku.py` or `dataset_builders.sudoku`, wherever that is installed), a
    Python file, an importable module, or any executable file or command. Paths count from the working directory; a file
    of one's own with the name of one of ours is named `./dataset_builders/sudoku.py`.

    Raises UsageError where it is none of these.
    """
    module = builder.removesuffix(".py").replace("/", ".").replace("\\", ".")
    folder, _, name = module.rpartition(".")
    path = Path(builder)
    ours = _OURS / f"{name}.py"
    if is_file(ours) and (folder == FOLDER or (is_file(path) and path.samefile(ours))):
        return [sys.executable, "-m", f"{builders_package()}.{name}", *flags]
    if is_file(path):
        if path.suffix == ".py":
            return [sys.executable, str(path), *flags]
        if os.access(path, os.X_OK):
            return [str(path.resolve()), *flags]
        raise UsageError(
            f"dataset_builder {builder} is neither a Python file nor executable", hint=f"chmod +x {builder}"
        )
    found = shutil.which(builder)
    if found is not None:
        return [found, *flags]
    if "/" not in builder and not builder.endswith(".py") and _is_module(builder):
        return [sys.executable, "-m", builder, *flags]
    raise UsageError(
        f"dataset_builder {builder} is not a file, a builder of this package or a command",
        hint="a path counts from the current directory",
    )


def typed(command: Sequence[str]) -> str:
    """A builder's command line as it could be typed."""
    return command_line(*("python" if word == sys.executable else word for word in command))


def comes_from_elsewhere(command: Sequence[str]) -> bool:
    """Return whether the program of a command line lies neither in this package nor in the working directory."""
    if list(command[:2]) != [sys.executable, "-m"]:
        program = Path(command[1] if command[0] == sys.executable else command[0])
    elif (_OURS / f"{command[2].removeprefix(builders_package() + '.')}.py").is_file():
        return False
    else:
        spec = importlib.util.find_spec(command[2])
        program = Path(spec.origin) if spec is not None and spec.origin is not None else Path("/")
    return not program.resolve().is_relative_to(Path.cwd().resolve())


def builder_environment(command: Sequence[str]) -> dict[str, str]:
    """The environment of a builder: it reports progress as JSON, finds this package, and none of ours is shadowed."""
    # Found also where the package is used from its folder without being installed.
    paths = [str(_PACKAGE.parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "TRM_PROGRESS": "json", "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    if list(command[1:2]) == ["-m"] and command[2].startswith(f"{builders_package()}."):
        # As -P, which people need not see: the working directory is not searched for modules.
        environment["PYTHONSAFEPATH"] = "1"
    return environment


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False
