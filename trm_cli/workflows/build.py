"""Build the dataset of a model by running its builder with the flags of the model's `dataset_args`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trm_cli.config.dataset_args import builder_flags
from trm_cli.data.building.builder_command import builder_command
from trm_cli.data.building.builder_process import BuilderFlagError, run_build
from trm_cli.errors import TrmError, UsageError
from trm_cli.shell import command_line, quote
from trm_cli.workflows.observers import BuildObserver

if TYPE_CHECKING:
    from trm_cli.config.compose import Resolved
    from trm_cli.config.registry import RegistryEntry


@dataclass(frozen=True)
class BuildRequest:
    """The options of a build.

    rebuild: delete what was built before. dry_run: do not start the builder. workers: number of processes. shard:
    "I/N" for part I of N, counted from 0. merge: join the parts of all shards.
    """

    rebuild: bool = False
    dry_run: bool = False
    workers: int | None = None
    shard: str | None = None
    merge: bool = False

    @property
    def flags(self) -> list[str]:
        """Return the options as flags of a builder."""
        flags = [*["--rebuild"] * self.rebuild, *["--merge"] * self.merge]
        flags += ["--workers", str(self.workers)] if self.workers is not None else []
        return flags + (["--shard", self.shard] if self.shard is not None else [])


def builder_of(resolved: Resolved) -> RegistryEntry:
    """Return the registry entry that names the builder. Raises UsageError where there is none."""
    if resolved.registry is None:
        raise UsageError("this model has no dataset builder", hint="name a model of `trm configs list`")
    return resolved.registry


def command_of(entry: RegistryEntry, request: BuildRequest) -> list[str]:
    """Return the command line of the builder."""
    return builder_command(entry.dataset_builder, [*builder_flags(entry.dataset_args), *request.flags])


@contextmanager
def flags_placed(entry: RegistryEntry) -> Iterator[None]:
    """Name the place of a flag that the builder refuses, while the block runs it."""
    try:
        yield
    except TrmError as error:
        error.hint = error.hint and _as_typed_here(error.hint, entry)
        place = entry.places.get(error.name) if isinstance(error, BuilderFlagError) else None
        if place is not None:
            raise UsageError(f"{place}: {error.message}", hint=error.hint) from error
        raise


_FLAG = re.compile(r"(`?)--([a-z][a-z-]*)((?: [A-Z0-9][^\s`]*| [a-z]+=[^\s`]+)*)")
_OWN_OPTIONS = ("rebuild", "workers", "shard", "merge", "limit")


def _as_typed_here(hint: str, entry: RegistryEntry) -> str:
    """A builder's hint with its flags as `trm` takes them: `--train 5` is dataset_args.train=5."""
    build = command_line("trm", "build-dataset", entry.word)

    def ours(found: re.Match[str]) -> str:
        mark, name, values = found[1], found[2], found[3].split()
        if name == "allow-builder":  # an option of every command that starts a builder
            return found[0]
        if name in _OWN_OPTIONS:
            return f"{mark or '`'}{build} --{' '.join([name, *values])}{'' if mark else '`'}"
        value = values[0] if len(values) == 1 else f"[{','.join(values)}]" if values else "VALUE"
        return mark + quote(f"dataset_args.{name.replace('-', '_')}={value}")

    return _FLAG.sub(ours, hint)


def build_dataset(
    entry: RegistryEntry, request: BuildRequest | None = None, observer: BuildObserver | None = None
) -> list[str]:
    """Run the builder of a model to its end, unless this is a dry run; returns its command line.

    SIGINT and SIGTERM are forwarded to it. Raises TrmError.
    """
    request, observer = request or BuildRequest(), observer or BuildObserver()
    command = command_of(entry, request)
    if request.dry_run:
        observer.build_command(command)
    else:
        with flags_placed(entry), observer.building(entry.title) as watching:
            run_build(command, watching.build_progress, watching.build_line)
    return command
