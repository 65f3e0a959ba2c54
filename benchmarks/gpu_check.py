"""Check TRM on a CUDA machine: parity with the CPU, then speed and memory of updates. `make gpu-check`.

    python -m benchmarks.gpu_check [--quick] [--t4] [--batch 768] [--steps 20] [--modes eager compiled graphs]
                                   [--out FILE] [KEY=VALUE]...

First things first: an update of each network, parity in every precision and mode, speed and memory, a real training
that is stopped and goes on, two runs beside each other. Prints a table and writes JSON, anew after every case: a case
that fails, for want of memory say, or takes longer than its share, is an entry like the others; what there is no time
left for is named in `not_run`, and the last two kinds have their time kept for them. Without a CUDA device it says so
and ends with 0. `--t4` computes as a T4 would: float16, no kernel that it lacks, 15 GiB. `--device cpu` tries the
program itself, at the size of the settings that follow (arch.hidden_size=16 ...); what is compiled is only traced then.
"""

from __future__ import annotations

import argparse
import gc
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, NoReturn

import torch

from benchmarks.gpu.cases import CASES, FAMILIES, MODES, Case, Updates, Way, flops, task_of
from benchmarks.gpu.parity import parity
from benchmarks.gpu.runs import differences, train_and_go_on
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
KINDS = ("updates", "parity", "speed", "training", "reproducibility")
#: A case is not begun with less than this left.
_LEAST_SECONDS = 2.0
#: Cases that are compiled and replayed as graphs: what they gain shows there.
_COMPILED = ("sudoku mlp", "sudoku attention", "capsules")
_T4_MEMORY = 15 * 2**30


def main(arguments: Sequence[str] | None = None) -> int:
    """Check every case in each precision and mode; 1 where something disagrees with the CPU or fails."""
    options = _options(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        print("no CUDA device here: nothing to check")
        return 0
    ends = time.monotonic() + options.seconds
    if options.t4:
        as_a_t4(options.device)
    report: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if options.device == "cuda" else options.device,
        "torch": torch.__version__,
        "batch": options.batch,
        "as": "T4" if options.t4 else None,
        "matmul_tflops": {name: matmul_rate(options.device, name) for name in options.precisions},
        **{kind: [] for kind in KINDS},
        "aims": [],
        "not_run": [],
    }
    print(f"{report['device']}, torch {torch.__version__}; products reach, in TFLOP/s: ", end="")
    print(", ".join(f"{rate:.3g} {name}" for name, rate in report["matmul_tflops"].items()))
    _write(options.out, report)
    for job in _jobs(options, report["matmul_tflops"]):
        left = ends - time.monotonic() - (0 if job.kind in KINDS[-2:] else options.kept)
        if left < _LEAST_SECONDS:
            report["not_run"].append(f"{job.kind}: {job.name}, {job.way.precision}, {job.way.mode}")
        else:
            # What a card may take for a case says nothing of a processor.
            entry = attempt(job, left if options.device == "cpu" else min(left, job.seconds))
            report[job.kind].append(entry)
            print(_line(job.kind, entry), flush=True)
        report["aims"] = aims(report["speed"])
        _write(options.out, report)
    print(f"{len(report['not_run'])} cases were not run; written to {options.out}")
    return int(any("error" in one or not one.get("agrees", True) for kind in KINDS for one in report[kind]))


def _write(path: Path, report: dict[str, Any]) -> None:
    write_atomically(path, (json.dumps(report, indent=2) + "\n").encode())


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=768, help="rows on 9x9 boards; 30x30 takes 1/8, capsules 1/24")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--quick", action="store_true", help="end within 90 seconds")
    parser.add_argument("--seconds", type=float, default=None, help="end within so many; default 330, --quick 85")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--t4", action="store_true", help="compute as a T4 would, on a newer card")
    parser.add_argument("--out", type=Path, default=Path("gpu_check.json"))
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("words", nargs="*", metavar="KEY=VALUE", help="settings that stand above those of the cases")
    options = parser.parse_intermixed_args(arguments)
    options.seconds = options.seconds or (85 if options.quick else 330)
    # A shorter one would be stopped before its dataset is built and its first update is done.
    options.training = min(40.0 if options.quick else 75.0, options.seconds / 2)
    options.kept = 1.25 * options.training
    options.precisions = ("float16", "float32") if options.t4 else PRECISIONS
    return options


def as_a_t4(device: str) -> None:
    """Let this process see a card of capability 7.5, without the attention kernels that it lacks."""
    torch.cuda.get_device_capability = lambda *_: (7, 5)
    torch.backends.cuda.enable_flash_sdp(False)
    if device == "cuda":
        torch.cuda.set_per_process_memory_fraction(min(1.0, _T4_MEMORY / torch.cuda.mem_get_info()[1]))


class Job(NamedTuple):
    """One case: what of the report it belongs to, and the most seconds that it may take."""

    kind: str
    name: str
    way: Way
    seconds: float
    work: Callable[[], dict[str, Any]]


def _jobs(options: argparse.Namespace, rates: dict[str, float]) -> Iterator[Job]:
    """What tells most comes first; a figure of a wrong kernel is worth nothing."""
    words = tuple(options.words)

    def ways(name: str, mode: str) -> list[Way]:
        if mode == "eager":
            return [Way(options.device, precision, mode, words) for precision in options.precisions]
        return [Way(options.device, options.precisions[0], mode, words)] if name in _COMPILED else []

    def rows_of(case: Case) -> int:
        return max(1, int(options.batch) // case.share)

    first = Way(options.device, options.precisions[0], "eager", words)
    for name, case in {**CASES, **FAMILIES}.items():
        yield Job("updates", name, first, 20, partial(measure, case, first, min(8, rows_of(case)), 1, rates))
    for mode in options.modes:
        for name, case in CASES.items():
            for way in ways(name, mode):
                yield Job("parity", name, way, 40, partial(parity, case, way))
    for mode in options.modes:
        for name, case in CASES.items():
            for way in ways(name, mode):
                work = partial(measure, case, way, rows_of(case), options.steps, rates)
                yield Job("speed", name, way, 40, work)
    seconds = options.training
    yield Job("training", "sudoku-4x4", first, 2 * seconds, partial(train_and_go_on, first, seconds))
    for name, case in CASES.items():
        yield Job("reproducibility", name, first, 20, partial(differences, case, first, min(8, rows_of(case))))


def attempt(job: Job, seconds: float) -> dict[str, Any]:
    """Return the result of a job, or why it failed or was stopped, so that the other cases still run."""
    about = {"case": job.name, "precision": job.way.precision, "mode": job.way.mode}
    if "torch._dynamo" in sys.modules:  # else nothing was compiled
        torch.compiler.reset()
    started = time.monotonic()
    try:
        with at_most(seconds):
            found = job.work()
        return {**about, **found, "seconds": round(time.monotonic() - started, 2)}
    except (RuntimeError, OSError, TrmError) as error:  # what kernels, compilers and drivers raise is a finding
        full = isinstance(error, RuntimeError) and is_out_of_memory(error)
        message = (str(error).splitlines() or [""])[0]
        return {**about, "error": "out of memory" if full else type(error).__name__, "message": message[:300]}
    finally:
        if job.way.device == "cuda":
            gc.collect()
            torch.cuda.empty_cache()


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the block after so many seconds, as soon as Python runs again."""

    def late(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - signature of a signal handler
        raise TimeoutError(f"stopped after {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


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
        "batch": rows,
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
    start = f"{entry['case']:16} {entry['precision']:8} {entry['mode']:8} "
    if "error" in entry:
        return f"{start} {kind}: {entry['error']}: {entry['message']}"[:118]
    if kind == "training":
        accuracy = entry["exact_accuracy"]
        reached = "nothing evaluated" if accuracy is None else f"exact accuracy {accuracy:.1%} of {entry['aim']:.0%}"
        return f"{start} {entry['steps']} steps, {reached}; went on after a stop: {entry['agrees']}"
    if kind == "reproducibility":
        return f"{start} {len(entry['differs'])} of {entry['parts']} parts differ between two runs"
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
