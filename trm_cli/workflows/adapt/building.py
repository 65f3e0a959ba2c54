"""Build the dataset of the new tasks in the directory of an adaptation, as the network of the source reads it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from trm_cli.errors import DatasetError
from trm_cli.workflows.adapt.directory import DATA, TASKS, AdaptDirectory, write_document

if TYPE_CHECKING:
    from trm_cli.data.arc.challenges import Challenges
    from trm_cli.workflows.adapt.request import AdaptObserver, AdaptRequest
    from trm_cli.workflows.adapt.settings import Source

_LEARNED, _HELD_OUT = "adapt", "held-out"


def build_tasks(
    home: AdaptDirectory, source: Source, challenges: Challenges, request: AdaptRequest, observer: AdaptObserver
) -> None:
    """Write the usable tasks as a challenges file and build their dataset, unless that is done. Raises TrmError."""
    from trm_cli.data.building.builder_command import builder_command
    from trm_cli.data.building.builder_process import run_build
    from trm_cli.data.files.manifest import check_complete, read_manifest

    data, tasks = home.path / DATA, home.path / TASKS
    try:
        if (manifest := read_manifest(data)) is not None:
            check_complete(data, manifest)
            return
    except DatasetError:
        pass
    write_document(_challenges_file(tasks, _LEARNED), challenges.to_json(leave_out=request.leave_out))
    if source.demonstrated:
        builder, flags = "dataset_builders/streaming_builder.py", _stream_flags(tasks, source, request)
    else:
        builder, flags = "dataset_builders/arc.py", _array_flags(tasks, source, request)
    command = builder_command(builder, [*flags, "--output-dir", str(data)])
    with observer.building(f"{len(challenges.usable)} new tasks") as watching:
        run_build(command, watching.build_progress, watching.build_line)


def _challenges_file(tasks: Path, subset: str) -> Path:
    return tasks / f"arc-agi_{subset}_challenges.json"


def _array_flags(tasks: Path, source: Source, request: AdaptRequest) -> list[str]:
    return [
        "--source", str(tasks), "--subsets", _LEARNED, "--num-aug", str(request.augmentations), "--allow-overlap",
        "--side", str(source.side),
    ]  # fmt: skip


def _stream_flags(tasks: Path, source: Source, request: AdaptRequest) -> list[str]:
    """A stream has to hold something out, and what the tasks ask has no answers: one row of cells that is copied."""
    row: Any = [[cell % 10 for cell in range(source.side)]]
    pair = {"input": row, "output": row}
    held_out = {"train": [{"input": [[0]], "output": [[0]]}], "test": [pair]}
    write_document(_challenges_file(tasks, _HELD_OUT), {"copied row": held_out})
    write_document(tasks / "dataset.json", source.sealed.metadata.to_json())
    metadata = source.sealed.metadata
    return [
        "--sources", f"arc:{tasks}", "--subsets", _LEARNED, _HELD_OUT, "--like", str(tasks / "dataset.json"),
        "--demonstrations", str(metadata.extra["demonstrations"]),
        "--augment", "--augmentations", str(request.augmentations + 1),
    ]  # fmt: skip
