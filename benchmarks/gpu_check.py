"""Check TRM on a CUDA machine: parity with the CPU, then speed and memory of updates. `make gpu-check`.

    python -m benchmarks.gpu_check [--batch 768] [--steps 20] [--modes eager compiled] [--out FILE] [KEY=VALUE]...

Prints a table and writes JSON, anew after every case: a case that fails, for want of memory say, is an entry like the
others. Without a CUDA device it says so and ends with 0. `--device cpu` tries the program itself, at the size of the
settings that follow (arch.hidden_size=16 ...).
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_cases import CASES, Case, Updates, Way, flops, task_of
from benchmarks.gpu_parity import parity
from trm_cli.data.files.durable import write_atomically
from trm_cli.errors import TrmError
from trm_cli.training.hardware.devices import synchronise
from trm_cli.training.memory.check import is_out_of_memory

PRECISIONS = ("bfloat16", "float16", "float32")
#: What an H200 is meant to reach at batch 768: figure, case (None: the best of all), at least (of memory, at most).
AIMS: tuple[tuple[str, str | None, float], ...] = (
    ("steps_per_second", "sudoku mlp", 14.0),
    ("share_of_matmul", None, 0.5),
    ("samples_per_second", "30x30 attention", 1000.0),
    ("peak_gib", "capsules", 14e9 / 2**30),  # a T4 in float16
)
_WARM_UP = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Check every case in each precision and mode; 1 where something disagrees with the CPU or fails."""
    options = _options(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        print("no CUDA device here: nothing to check")
        return 0
    report: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if options.device == "cuda" else options.device,
        "torch": torch.__version__,
        "batch": options.batch,
        "matmul_tflops": {name: matmul_rate(options.device, name) for name in PRECISIONS},
        "parity": [],
        "speed": [],
        "aims": [],
    }
    print(f"{report['device']}, torch {torch.__version__}; products reach, in TFLOP/s: ", end="")
    print(", ".join(f"{rate:.3g} {name}" for name, rate in report["matmul_tflops"].items()))
    for kind, entry in _entries(options, report["matmul_tflops"]):
        report[kind].append(entry)
        report["aims"] = aims(report["speed"])
        write_atomically(options.out, (json.dumps(report, indent=2) + "\n").encode())
        print(_line(kind, entry), flush=True)
    print(f"written to {options.out}")
    return int(any("error" in one or not one.get("agrees", True) for one in (*report["parity"], *report["speed"])))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=768, help="rows on 9x9 boards; 30x30 takes 1/8, canvases 1/24")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--modes", nargs="+", choices=("eager", "compiled"), default=["eager", "compiled"])
    parser.add_argument("--out", type=Path, default=Path("gpu_check.json"))
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("words", nargs="*", metavar="KEY=VALUE", help="settings that stand above those of the cases")
    return parser.parse_intermixed_args(arguments)


def _entries(options: argparse.Namespace, rates: dict[str, float]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Parity of everything first: a figure of a wrong kernel is worth nothing."""
    ways = [
        Way(options.device, precision, mode == "compiled", tuple(options.words))
        for precision in PRECISIONS
        for mode in options.modes
    ]
    for name, case in CASES.items():
        for way in ways:
            yield "parity", attempt(name, way, lambda: parity(case, way))  # noqa: B023
    for name, case in CASES.items():
        for way in ways:
            rows = max(1, options.batch // case.share)
            found = attempt(name, way, lambda: measure(case, way, rows, options.steps, rates))  # noqa: B023
            yield "speed", {"batch": rows, **found}


def attempt(name: str, way: Way, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return the result of `work`, or why it failed, so that the other cases still run."""
    about = {"case": name, "precision": way.precision, "compiled": way.compiled}
    torch.compiler.reset()
    try:
        return {**about, **work()}
    except (RuntimeError, TrmError) as error:  # what kernels, compilers and drivers raise is a finding
        full = isinstance(error, RuntimeError) and is_out_of_memory(error)
        message = (str(error).splitlines() or [""])[0]
        return {**about, "error": "out of memory" if full else type(error).__name__, "message": message[:300]}
    finally:
        gc.collect()
        if way.device == "cuda":
            torch.cuda.empty_cache()


def measure(case: Case, way: Way, rows: int, steps: int, rates: dict[str, float]) -> dict[str, Any]:
    """Time `steps` updates after a warm-up, and compare memory with its estimate, where it can be measured."""
    task = task_of(case, rows, way)
    device = task.machine.torch_device
    updates = Updates(task, case)
    for _ in range(_WARM_UP):
        updates.next()
    synchronise(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    for _ in range(steps):
        updates.next()
    synchronise(device)
    rate = steps / (time.perf_counter() - started)
    return {
        "steps_per_second": rate,
        "samples_per_second": rate * rows,
        "share_of_matmul": rate * flops(task, case) / (1e12 * rates[way.precision]),
        "skipped_updates": updates.state.skipped,
        "peak_gib": torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else None,
        "estimate_gib": task.estimate().total / 2**30,
    }


def aims(speed: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the targets for an H200 with the best measurement of each; null without one."""
    found = []
    for figure, case, aim in AIMS:
        values = [row[figure] for row in speed if row.get(figure) is not None and case in (None, row["case"])]
        best = (min if figure == "peak_gib" else max)(values, default=None)
        reached = None if best is None else best <= aim if figure == "peak_gib" else best >= aim
        found.append({"figure": figure, "case": case, "aim": aim, "best": best, "reached": reached})
    return found


def _line(kind: str, entry: dict[str, Any]) -> str:
    mode = "compiled" if entry["compiled"] else "eager"
    start = f"{entry['case']:16} {entry['precision']:8} {mode:8} "
    if "error" in entry:
        return f"{start} {kind}: {entry['error']}: {entry['message']}"
    if kind == "parity":
        differences = "  ".join(
            f"{name} {entry[key]:.1e}"
            for name, key in (
                ("logit", "largest_difference_of_a_logit"),
                ("loss", "relative_difference_of_the_loss"),
                ("gradient", "relative_difference_of_the_gradient"),
            )
        )
        return f"{start} {differences}{'' if entry['agrees'] else '  DIFFERS'}"
    peak = "" if entry["peak_gib"] is None else f" {entry['peak_gib']:.2f} GiB"
    return (
        f"{start} {entry['batch']:4} rows {entry['steps_per_second']:7.2f} steps/s "
        f"{entry['share_of_matmul']:4.0%}{peak} (est. {entry['estimate_gib']:.2f})"
    )


def matmul_rate(device: str, precision: str) -> float:
    """TFLOP/s of a large square product."""
    size = 256 if device == "cpu" else 4096 if precision == "float32" else 8192
    left, right = (torch.randn(size, size).to(device, getattr(torch, precision)) for _ in range(2))
    for _ in range(3):
        left @ right
    synchronise(torch.device(device))
    started = time.perf_counter()
    for _ in range(10):
        left @ right
    synchronise(torch.device(device))
    return 10 * 2 * size**3 / (time.perf_counter() - started) / 1e12


if __name__ == "__main__":
    sys.exit(main())
