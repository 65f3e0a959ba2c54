"""`trm inspect-dataset`: show the contents and samples of a dataset, and verify its files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trm_cli.commands.options import completion
from trm_cli.commands.options.arguments import Json


def inspect_dataset(
    directory: Annotated[
        str,
        typer.Argument(
            metavar="DIR|MODEL", help="A dataset, or the model that it belongs to.", autocompletion=completion.models
        ),
    ],
    show: Annotated[int, typer.Option(min=0, help="Draw this many samples.", metavar="N")] = 0,
    split: Annotated[str, typer.Option(help="Draw from this split.", metavar="train|test")] = "train",
    out: Annotated[Path | None, typer.Option(help="Draw the samples into this picture.", metavar="FILE.png")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Read every file and compare checksums.")] = False,
    shards: Annotated[
        bool, typer.Option("--shards", help="Say which parts of a build, or files, are there, missing or damaged.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show the contents of a dataset: counts, splits, sources, licences, lengths, samples.

    [dim]Example: trm inspect-dataset datasets/vision_unified --show 4[/dim]
    """
    from dataclasses import asdict

    from trm_cli.commands.options.arguments import expect_folder, model_meant
    from trm_cli.console.output import next_step, print_json, print_result, stdout
    from trm_cli.console.views.dataset import dataset_document, shards_screen, show_report
    from trm_cli.errors import REBUILD, DatasetError, UsageError
    from trm_cli.workflows.inspect import dataset

    if split not in ("train", "test"):
        raise UsageError(f"--split is {split!r}; expected train or test")
    expect_folder(out)
    if shards:
        states = dataset.inspect_shards(directory)
        print_result({"shards": [asdict(one) for one in states]}, shards_screen(states), as_json=as_json)
        if any(one.state in ("missing", "damaged") for one in states):
            raise DatasetError("some files are missing or damaged", hint=REBUILD)
        return
    found = dataset.inspect_dataset(directory, verify=verify)
    if as_json:
        print_json(dataset_document(found))
    else:
        show_report(stdout(), found)
    if show or out is not None:
        _draw(found.directory, split, show or 8, out, terminal=bool(show) and not as_json)
    if found.damaged:
        raise DatasetError(
            f"{found.directory}: {len(found.damaged)} files are missing or not as they were written: "
            f"{', '.join(found.damaged[:5])}",
            hint=REBUILD,
        )
    if not as_json:
        model = model_meant([], str(found.directory))
        train = ("trm", "train", model) if model else ("trm", "train", "MODEL", f"data_paths=[{found.directory}]")
        next_step(*([] if show or out else [("trm", "inspect-dataset", directory, "--show", 3)]), train)


def _draw(root: Path, split: str, count: int, out: Path | None, *, terminal: bool) -> None:
    from trm_cli.console.output import note, stdout
    from trm_cli.data.samples import read_samples
    from trm_cli.errors import TrmError

    samples = read_samples(root, split, count)
    if terminal:
        from trm_cli.console.views.samples import show_samples

        show_samples(stdout(), samples)
    if out is not None:
        from trm_cli.console.report.sample_sheet import write_sheet

        try:
            write_sheet(out, samples)
        except OSError as error:
            raise TrmError(f"{out} cannot be written: {error.strerror or error}") from error
        except ValueError as error:
            raise TrmError(f"{out} cannot be written: {error}", hint="name a file that ends in .png") from error
        note(f"wrote {out}")
