"""Does the capsule model learn? Trains it on synthetic grids and prints exact accuracy on held-out ones.

Each puzzle is a random grid; its answer is the grid itself (copy), the grid with two colours exchanged (recolour) or
its mirror image (mirror). The task is told through the puzzle identifier. Example, one thread:

    OMP_NUM_THREADS=1 python benchmarks/hesc_learns.py --tasks copy --sizes 3 6 --minutes 20
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from trm_cli.models import create_model
from trm_cli.models.hesc.vocabulary import EOS, FIRST_COLOUR, IGNORED

TASKS = ("copy", "recolour", "mirror")
CELL = 7


class Values(NamedTuple):
    """The annealed values of one step."""

    expansion_penalty: float
    q_temperature: float
    epsilon: float
    dqn_warmup: float


def puzzles(
    count: int, tasks: list[str], sizes: tuple[int, int], side: int, generator: torch.Generator
) -> dict[str, Tensor]:
    """Count random puzzles on a canvas of side x side cells: the batch fields of the model."""
    low, high = sizes
    draw = lambda top, *shape: torch.randint(0, top, shape, generator=generator)  # noqa: E731
    height, width = low + draw(high - low + 1, count, 1, 1), low + draw(high - low + 1, count, 1, 1)
    task = draw(len(tasks), count)
    row, column = torch.arange(side)[None, :, None], torch.arange(side)[None, None, :]
    inside = (row < height) & (column < width)
    colours = draw(10, count, side, side)
    names = torch.tensor([TASKS.index(name) for name in tasks])[task]
    # Recolour exchanges 2k and 2k + 1; mirror reads each row from its right end.
    recoloured = colours ^ 1
    mirrored = colours.gather(2, (width - 1 - column).clamp_min(0).expand(-1, side, -1))
    answer = torch.where((names == 1)[:, None, None], recoloured, colours)
    answer = torch.where((names == 2)[:, None, None], mirrored, answer)
    border = ((row == height) & (column <= width)) | ((column == width) & (row <= height))
    target = torch.where(inside, answer + FIRST_COLOUR, torch.where(border, EOS, IGNORED))
    return {
        "canvas_kind": torch.zeros(count, dtype=torch.uint8),
        "canvas": torch.where(inside, colours + 1, 0).flatten(1).to(torch.uint8),
        "target": target.flatten(1).to(torch.int32),
        "target_kind": torch.zeros(count, dtype=torch.uint8),
        "puzzle_identifiers": names.to(torch.int32),
    }


@torch.no_grad()
def evaluate(model: torch.nn.Module, batch: dict[str, Tensor], values: Values, tasks: list[str]) -> dict[str, float]:
    """Exact accuracy by task after halt_max_steps steps, and the share of right cells."""
    carry, result = model.initial_carry(batch), None
    for _ in range(model.halt_max_steps):
        result = model(carry, batch, values, None)
        carry = result.carry
    right = (model.answer(result.outputs) == batch["target"]) | (batch["target"] == IGNORED)
    exact = right.all(1).float()
    scores = {name: exact[batch["puzzle_identifiers"] == TASKS.index(name)].mean().item() for name in tasks}
    scores["cells"] = right[batch["target"] != IGNORED].float().mean().item()
    scores["expansions"] = result.outputs.opened.sum(1).float().mean().item()
    return scores


def values_at(progress: float) -> Values:
    """The default schedules, written out for this script: progress 0..1 of the run."""
    half = min(1.0, 2 * progress)
    return Values(0.1 - 0.099 * half, 0.1**progress, 0.3 - 0.25 * half, min(1.0, 10 * progress))


def train(arguments: argparse.Namespace) -> None:
    """Train for the given minutes and print one JSON line per evaluation."""
    torch.manual_seed(arguments.seed)
    generator = torch.Generator().manual_seed(arguments.seed + 1)
    settings = json.loads(arguments.settings) if arguments.settings else {}
    base = preset(arguments.preset) | settings
    side = base["canvas_size"] // CELL
    model = create_model("hesc", base, vocab_size=272, seq_len=side * side, num_puzzle_identifiers=len(TASKS))
    optimizer = torch.optim.AdamW(
        list(model.trunk_parameters()), lr=arguments.lr, betas=(0.9, 0.95), weight_decay=0.1, fused=True
    )
    held_out = puzzles(256, arguments.tasks, tuple(arguments.sizes), side, torch.Generator().manual_seed(10**6))
    total = sum(weight.numel() for weight in model.trunk_parameters())
    print(json.dumps({"parameters": total, "settings": base}), flush=True)
    carry, start, step, seen = None, time.monotonic(), 0, {}
    while (spent := (time.monotonic() - start) / 60) < arguments.minutes:
        values = values_at(spent / arguments.minutes)
        batch = puzzles(arguments.batch_size, arguments.tasks, tuple(arguments.sizes), side, generator)
        carry = model.initial_carry(batch) if carry is None else carry
        draws = torch.rand(arguments.batch_size, model.draws_per_row, generator=generator)
        result = model(carry, batch, values, draws)
        carry = result.carry
        (result.loss / arguments.batch_size).backward()
        torch.nn.utils.clip_grad_norm_(list(model.trunk_parameters()), 1.0)
        rate = arguments.lr * min(1.0, (step + 1) / 100) * (1 if spent < 0.7 * arguments.minutes else 0.2)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        optimizer.zero_grad()
        table = model.puzzle_embedding
        if table is not None and table.weight.grad is not None:
            with torch.no_grad():
                table.weight -= 0.01 * table.weight.grad.to_dense().sign()
            table.weight.grad = None
        for name, value in (result.terms | result.metrics).items():
            seen[name] = seen.get(name, 0.0) + value.item()
        step += 1
        if step % arguments.every == 0:
            report(model, held_out, values, arguments, step, spent, seen)
            seen = {}
    report(model, held_out, values_at(1.0), arguments, step, arguments.minutes, seen)
    if arguments.out:
        torch.save(model.state_dict(), Path(arguments.out))


def report(
    model: torch.nn.Module, held_out: dict[str, Tensor], values: Values, arguments: argparse.Namespace, step: int,
    minutes: float, seen: dict[str, float],
) -> None:  # fmt: skip
    """Print one line: step, minutes, held-out scores, mean losses and metrics since the last line."""
    count, rows = max(1.0, seen.get("count", 1.0)), arguments.every * arguments.batch_size
    means = {k: round(v / (rows if k.endswith("loss") else count), 4) for k, v in seen.items() if k != "count"}
    scores = {k: round(v, 4) for k, v in evaluate(model, held_out, values, arguments.tasks).items()}
    print(json.dumps({"step": step, "minutes": round(minutes, 2), "held_out": scores, "train": means}), flush=True)


def preset(name: str) -> dict[str, object]:
    """The settings of an architecture file, without its family and name."""
    from trm_cli.config.yaml_loader import load_yaml

    path = Path(__file__).parents[1] / "configs" / "arch" / f"{name}.yaml"
    return {key: value for key, value in load_yaml(path).data.items() if key not in ("family", "name", "title")}


def main() -> None:
    """Read the options and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="multimodal_hesc_mini")
    parser.add_argument("--settings", help="JSON that overrides settings of the preset")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=["copy"])
    parser.add_argument("--sizes", nargs=2, type=int, default=[3, 6])
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--every", type=int, default=200, help="steps between two lines")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", help="where to save the weights")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    train(arguments)


if __name__ == "__main__":
    main()
