"""Measure whether the capsule model learns puzzles and stories in one run, and the effect of each component.

    python -m benchmarks.hesc_learns --out DIR [--epochs 8] [KEY=VALUE ...]        one run of the shipped mini
    python -m benchmarks.hesc_learns --out DIR --largest 10 arch.canvas_size=84   the same with grids of 3x3 to 10x10
    python -m benchmarks.hesc_learns --out DIR --ablate [--seeds 0 1 2] [--epochs 2]  parts left out, at equal steps
    python -m benchmarks.hesc_learns --out DIR --summary                          mean and spread of what was ablated

KEY=VALUE is any setting of `trm train`, for one run or for all that are ablated.

Data: copy, recolour and mirror puzzles of 3x3 to 6x6 cells with random colours (no held-out grid equals a trained one
up to symmetry and colours) and stories of the built-in grammar, as one stream dataset. Everything goes through `trm
train`; held-out rows are scored with the averaged weights at full depth. Text is compared with an order-2 byte model
trained on the same stories, on the same bytes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.byte_model import ByteModel
from benchmarks.capsule_puzzles import TASKS, write_puzzles
from trm_cli.training.run_files import LATEST

STORIES = 4000
RECIPE = "unified-mini"
#: What an ablation leaves out; the shipped mini has the first alone.
PARTS = ("latent_planning", "expansion", "dqn", "mtp", "memory", "vq")
EVERY_PART = tuple(f"arch.enable_{part}=true" for part in PARTS)
#: The same network, every part on, with a capsule for each patch of a canvas of 4x4 cells, in smaller batches, on grids
#: that fit: what can be repeated often enough to compare.
SMALL: dict[str, object] = {
    **{f"arch.enable_{part}": True for part in PARTS},
    "arch.canvas_size": 28,
    "arch.capsule_rows": 2,
    "arch.capsule_columns": 2,
    "global_batch_size": 16,
    "lr_min_ratio": 1.0,
}
SMALL_GRIDS = 4
ABLATIONS: dict[str, dict[str, object]] = {
    "everything": {},
    "no planner": {"arch.enable_latent_planning": False},
    "no EXPAND": {"arch.enable_expansion": False},
    "BCE, no DQN": {"arch.enable_dqn": False},
    "no MTP": {"arch.enable_mtp": False},
    "no memory": {"arch.enable_memory": False},
    "no VQ": {"arch.enable_vq": False},
    "constant temperature": {"q_temperature_end": 1.0},
    "no planner, MTP, memory, VQ": {
        f"arch.enable_{part}": False for part in ("latent_planning", "mtp", "memory", "vq")
    },
    "no planner, EXPAND, DQN": {f"arch.enable_{part}": False for part in ("latent_planning", "expansion", "dqn")},
}


def prepare(out: Path, largest: int = 6) -> Path:
    """Make puzzles of 3x3 to largest x largest and the dataset below `out`, once; returns the dataset."""
    puzzles, dataset = out / "puzzles", out / "dataset"
    if not puzzles.is_dir():
        write_puzzles(puzzles, pairs=4000, tests=100, sizes=(3, largest), seed=0)
    command = [sys.executable, "-m", "dataset_builders.streaming_builder", "--output-dir", str(dataset), "--sources"]
    subprocess.run([*command, f"arc:{puzzles}", "stories", "--limits", f"stories={STORIES}"], check=True)
    return dataset


def train(dataset: Path, run: Path, settings: Mapping[str, object]) -> float:
    """`trm train` with the shipped recipe and these settings; returns the minutes that it took."""
    values = {"data_paths": f"[{dataset}]", "checkpoint_path": run, "log_interval": 20, "threads": 1, **settings}
    words = [f"{key}={str(value).lower() if isinstance(value, bool) else value}" for key, value in values.items()]
    command = [sys.executable, "-m", "trm_cli", "train", RECIPE, "--wandb", "disabled"]
    started = time.monotonic()
    subprocess.run([*command, *words], check=True, stdout=subprocess.DEVNULL)
    return (time.monotonic() - started) / 60


def score(named: Path) -> dict[str, float]:
    """Exact accuracy by task, right cells of all, and bits per byte, on the held-out rows.

    `named` is a run, for its best checkpoint, or a checkpoint.
    """
    import torch

    from trm_cli.data.text.labels import text_labels
    from trm_cli.evaluation.scores.accuracy import evaluate
    from trm_cli.training.run.datasets import Datasets
    from trm_cli.training.run.trained_model import load_trained

    torch.set_num_threads(1)
    trained = load_trained(str(named), torch.device("cpu"))
    datasets = Datasets.open(trained.config)
    assert datasets.test is not None
    names = json.loads((Path(trained.config.data_paths[0]) / "identifiers.json").read_text(encoding="utf-8"))
    batches = list(datasets.test.eval_batches(128))
    found: dict[str, float] = {}
    for task in TASKS:
        rows = [_only(batch, batch["puzzle_identifiers"] == names.index(task)) for batch in batches]
        found[task] = evaluate(trained.model, rows, torch.device("cpu")).exact_accuracy
    text = evaluate(trained.model, batches, torch.device("cpu"), text=text_labels(trained.metadata))
    assert text.bits_per_byte is not None
    found |= {"cells": text.token_accuracy, "bits_per_byte": text.bits_per_byte}
    return {name: round(value, 4) for name, value in found.items()}


def _only(batch: dict[str, Any], chosen: Any) -> dict[str, Any]:
    return batch | {"valid": batch["valid"] & chosen}


def byte_model_bits(dataset: Path, order: int, board_side: int) -> float:
    """Bits per byte of a count model on the very bytes that the network is scored on."""
    import numpy as np

    from trm_cli.data.opening import open_data
    from trm_cli.data.stream.records import TEXT
    from trm_cli.data.stream.rows import render_text
    from trm_cli.data.stream.vocabulary import EOS

    training = open_data([str(dataset)], "train", board_side=board_side)
    held_out = open_data([str(dataset)], "test", board_side=board_side)
    model = ByteModel(_texts(training), order)
    bits = count = 0.0
    for batch in held_out.eval_batches(128):
        for row in np.flatnonzero(batch["valid"] & (batch["kind"] == TEXT)):
            asked = render_text(batch["target"][row])
            whole = render_text(batch["text"][row]) + asked[-1:]  # what is read, and the byte that follows it
            whole = whole if (batch["target"][row] != EOS).all() else whole[:-1]
            bits += model.bits(whole, len(whole) - len(asked), len(whole))
            count += len(asked)
    return bits / count


def board_of(run: Path) -> int:
    """Cells along one side of the board that a run was trained with."""
    from trm_cli.config.compose import load_run_config

    side = load_run_config(run / "config.yaml").config.board_side
    assert side is not None
    return side


def evaluations(run: Path) -> list[dict[str, float]]:
    """What the evaluations of a run found, in their order."""
    records = map(json.loads, (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    names = ("step", "exact_accuracy", "bits_per_byte")
    return [{name: record[name] for name in names} for record in records if record["kind"] == "eval"]


def _texts(dataset: Any) -> list[bytes]:
    """Every stored text of a stream dataset."""
    import numpy as np

    from trm_cli.data.stream.records import TEXT

    shards = (dataset.store.shard(number) for number in range(len(dataset.store.chunks)))
    return [text for shard in shards for text in shard.payloads(np.flatnonzero(shard.kind == TEXT))]


def learn(out: Path, epochs: int, largest: int, settings: Mapping[str, object]) -> None:
    """Train the shipped mini model once on all of the dataset."""
    dataset = prepare(out, largest)
    spent = train(dataset, out / "run", {"epochs": epochs, "eval_interval": 1, **settings})
    for found in evaluations(out / "run"):
        print(json.dumps(found))
    order_2 = round(byte_model_bits(dataset, 2, board_of(out / "run")), 4)
    print(json.dumps({"minutes": round(spent, 1), **score(out / "run"), "order_2_bits_per_byte": order_2}), flush=True)


def ablate(out: Path, seeds: Sequence[int], epochs: int, only: Sequence[str], settings: Mapping[str, object]) -> None:
    """Each part left out, with each seed, at equal steps; one JSON line a run. Finished runs are not repeated.

    early: exact accuracy on all grids after the first epoch.
    """
    dataset = prepare(out, SMALL_GRIDS)
    results = out / "ablations.jsonl"
    done = {(r["variant"], r["seed"]) for r in map(json.loads, results.open())} if results.exists() else set()
    for seed in seeds:
        for variant, left_out in ABLATIONS.items():
            if (variant, seed) in done or (only and variant not in only):
                continue
            run = out / "ablations" / f"{variant.replace(' ', '_').replace(',', '')}_{seed}"
            same = {"epochs": epochs, "seed": seed, "eval_interval": 1, **settings}
            row = {"variant": variant, "seed": seed, "minutes": round(train(dataset, run, SMALL | left_out | same), 2)}
            row |= {"early": evaluations(run)[0]["exact_accuracy"], **score(run / LATEST)}
            with results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(json.dumps(row), flush=True)


def summarise(out: Path) -> None:
    """Mean and spread over the seeds of each variant, a line of JSON each."""
    rows = [json.loads(line) for line in (out / "ablations.jsonl").open(encoding="utf-8")]
    for variant in ABLATIONS:
        own = [row for row in rows if row["variant"] == variant]
        line: dict[str, object] = {"variant": variant, "seeds": len(own)}
        for name in ("minutes", "early", *TASKS, "cells", "bits_per_byte") if own else ():
            values = [row[name] for row in own]
            line[name] = f"{statistics.mean(values):.3f} ({min(values):.3f} - {max(values):.3f})"
        print(json.dumps(line))


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--epochs", type=int, help="497 updates of 32 each; default 8, or 2 (of 995 of 16) with --ablate"
    )
    parser.add_argument("--largest", type=int, default=6, help="cells along the longest side of a grid")
    parser.add_argument("--ablate", action="store_true")
    parser.add_argument("--summary", action="store_true")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--only", nargs="*", default=[], choices=list(ABLATIONS))
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="settings of `trm train`")
    arguments = parser.parse_args()
    settings = dict(word.split("=", 1) for word in arguments.settings)
    if arguments.summary:
        summarise(arguments.out)
    elif arguments.ablate:
        ablate(arguments.out, arguments.seeds, arguments.epochs or 2, arguments.only, settings)
    else:
        learn(arguments.out, arguments.epochs or 8, arguments.largest, settings)


if __name__ == "__main__":
    main()
