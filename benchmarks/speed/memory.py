"""Compare the memory estimate of `trm train` with the growth of peak resident memory in a fresh process.

    python -m benchmarks.speed.memory [--only NAME] [--updates 2] [--json]

A process of its own for each row: it loads torch and warms up its kernels, notes what it occupies, carries out updates
on random rows, and looks at the largest amount that it ever occupied.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.kills import EVERY_PART

if TYPE_CHECKING:
    from benchmarks.inputs.made_up import MadeUpRun

#: name -> words of a configuration, rows, and whether it is the capsule model.
CASES: dict[str, tuple[str, ...]] = {
    "trm attention": ("arch=trm_sudoku_att",),
    "trm mlp_t": ("arch=trm_sudoku",),
    "hrm": ("arch=hrm",),
    "hesc mini": ("arch=multimodal_hesc_mini", *EVERY_PART),
}
ROWS = {"trm attention": (2, 8), "trm mlp_t": (2, 8), "hrm": (2, 8), "hesc mini": (4, 16)}


def run_of(name: str, rows: int, precision: str, *more: str) -> MadeUpRun:
    """A run on 9x9 boards, or on boards and texts of a stream."""
    from benchmarks.inputs.made_up import MadeUpRun, made_up_metadata
    from trm_cli.config.compose import compose
    from trm_cli.config.make_plan import make_plan
    from trm_cli.data.stream.shape import StreamShape
    from trm_cli.schedule.plan import DatasetCounts
    from trm_cli.training.hardware.machine import Machine

    words = [*CASES[name], f"global_batch_size={rows}", f"precision={precision}", "threads=1", "device=cpu", *more]
    config = compose("sudoku-extreme", [*words, "checkpoint_path=does/not/exist"]).config
    shape = None if config.board_side is None else StreamShape(config.board_side)
    length = 81 if shape is None else shape.target_length
    metadata = made_up_metadata(length, 11 if shape is None else shape.vocab_size, 1000)

    plan = make_plan(config, DatasetCounts(1000, 1.0, "made up"))
    return MadeUpRun(config, plan, metadata, Machine.choose(config, length))


def estimated(name: str, rows: int, precision: str, *more: str) -> dict[str, Any]:
    """The estimate in MiB and how long it took."""
    run = run_of(name, rows, precision, *more)
    started = time.perf_counter()
    found = run.estimate()
    return {"estimate": found.total / 2**20, "seconds": time.perf_counter() - started, "parts": asdict(found)}


def measured(name: str, rows: int, precision: str, updates: int, *more: str) -> dict[str, Any]:
    """Growth of the peak in this process, in MiB."""
    import torch

    from trm_cli.training.run.build import make_model, make_state
    from trm_cli.training.step import StepSettings, update

    run = run_of(name, rows, precision, *more)
    config, machine = run.config, run.machine
    warm_up()
    before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20
    model = make_model(config, run.metadata, machine.precision.value)
    if config.activation_checkpointing:
        model.recompute_activations()
    state = make_state(config, model, machine)
    batch = model.blank_batch(rows, "cpu")
    for _ in range(updates):
        draws = torch.rand(rows, int(model.draws_per_row))
        settings = StepSettings(rows, config.grad_clip, config.micro_batch_size)
        update(state, batch, draws, run.plan.values_at(1), settings)
    return {"measured": peak() - before, "before": before}


def peak() -> float:
    """The most that this process ever occupied, in MiB.

    Not `ru_maxrss`: a process inherits that of the one that started it, which may have been larger.
    """
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def warm_up() -> None:
    """Load what is loaded when it is first used: modules, thread pools, kernels of both types."""
    import torch
    from torch.func import functional_call

    from trm_cli.models.hesc import model as _model  # noqa: F401
    from trm_cli.training.optimizers.eager import AdamW

    layer = torch.nn.Linear(64, 64)
    optimizer = AdamW(layer.parameters())
    layer(torch.randn(64, 64)).sum().backward()
    optimizer.step()
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.randn(2, 64, 64, dtype=dtype)
        torch.bmm(a, a)
        torch.nn.functional.scaled_dot_product_attention(a, a, a)
        functional_call(layer, {name: value.to(dtype) for name, value in layer.named_parameters()}, (a,))


def in_a_process(kind: str, *arguments: str) -> dict[str, Any]:
    """A row's half, in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.speed.memory", "--half", kind, *arguments]
    result: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return result


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=sorted(CASES))
    parser.add_argument("--updates", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--half", choices=("estimate", "measure"), help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs="*", help="keys of the configuration, for instance activation_checkpointing=true")
    arguments = parser.parse_args()
    if arguments.half:
        name, rows, precision, *more = arguments.rest
        found = (
            estimated(name, int(rows), precision, *more)
            if arguments.half == "estimate"
            else measured(name, int(rows), precision, arguments.updates, *more)
        )
        print(json.dumps(found))
        return
    table = []
    for name in [arguments.only] if arguments.only else CASES:
        for rows in ROWS[name]:
            for precision in ("float32", "bfloat16"):
                words = (name, str(rows), precision, *arguments.rest)
                row = {**in_a_process("estimate", *words), **in_a_process("measure", *words)}
                table.append({"model": name, "rows": rows, "precision": precision, **row})
                if not arguments.json:
                    print(
                        f"{name:14} batch {rows:3} {precision:9} estimate {row['estimate']:6.0f} MiB "
                        f"measured {row['measured']:6.0f} MiB  ratio {row['estimate'] / row['measured']:.2f} "
                        f"({row['seconds']:.1f} s)",
                        flush=True,
                    )
    if arguments.json:
        print(json.dumps(table, indent=2))


if __name__ == "__main__":
    main()
