"""`trm inspect-dataset`: what a dataset holds, whether it is whole, and what its samples look like."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trm_cli.commands.arguments import Json

if TYPE_CHECKING:
    from trm_cli.data.inspection import DatasetReport


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("inspect-dataset")(inspect_dataset)


def inspect_dataset(
    directory: Annotated[str, typer.Argument(metavar="DIR|MODEL", help="A dataset, or the model that it belongs to.")],
    show: Annotated[int, typer.Option(min=0, help="Draw this many samples.", metavar="N")] = 0,
    split: Annotated[str, typer.Option(help="Draw from this split.", metavar="train|test")] = "train",
    out: Annotated[Path | None, typer.Option(help="Draw the samples into this picture.", metavar="FILE.png")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Read every file and compare checksums.")] = False,
    json: Json = False,
) -> None:
    """Show what a dataset holds: counts, splits, sources, licences, lengths, samples.

    [dim]Example: trm inspect-dataset datasets/vision_unified --show 4[/dim]
    """
    from trm_cli.console.output import print_json, stdout
    from trm_cli.data.files.manifest import verify as find_damaged
    from trm_cli.data.inspection import inspect
    from trm_cli.errors import DatasetError, UsageError

    if split not in ("train", "test"):
        raise UsageError(f"--split is {split!r}; expected train or test")
    root = _directory(directory)
    report = inspect(root)
    damaged = find_damaged(root) if verify else None
    if json:
        print_json(_document(report, damaged))
    else:
        from trm_cli.console.views.dataset import show_report

        show_report(stdout(), report)
        if damaged == []:
            stdout().print(f"verified: all {len(report.manifest.files) if report.manifest else 0:,} files are whole")
    if show or out is not None:
        _draw(root, split, show or 8, out, terminal=bool(show) and not json)
    if damaged:
        raise DatasetError(
            f"{root}: {len(damaged)} files are missing or not as they were written: {', '.join(damaged[:5])}",
            hint="build the dataset again with --rebuild",
        )


def _directory(name: str) -> Path:
    """Return the directory that was named, or that of the model of this name."""
    from trm_cli.config.registry import find

    if Path(name).is_dir() or find("models", name) is None:
        return Path(name)
    from trm_cli.config.compose import compose

    return Path(compose(name).config.data_paths[0])


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
        except (OSError, ValueError) as error:
            raise TrmError(f"{out} cannot be written: {error}", hint="name a file that ends in .png") from error
        note(f"wrote {out}")


def _document(report: DatasetReport, damaged: list[str] | None) -> dict[str, object]:
    from dataclasses import asdict

    return {
        "schema_version": 1,
        "path": report.path,
        "kind": report.kind,
        "state": report.state,
        "builder": None if report.manifest is None else report.manifest.builder,
        "seed": None if report.manifest is None else report.manifest.seed,
        "licence": None if report.manifest is None else report.manifest.licence,
        "fingerprint": report.fingerprint,
        "bytes": report.bytes,
        "files": report.files,
        "sources": [dict(source) for source in report.sources],
        "splits": {
            name: {
                **split.metadata.to_json(),
                "rows": dict(split.kinds),
                "tokens_seen": split.tokens_seen,
                "lengths": [asdict(histogram) for histogram in split.histograms],
            }
            for name, split in report.splits.items()
        },
        "damaged": damaged,
    }
