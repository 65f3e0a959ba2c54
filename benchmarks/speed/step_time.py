"""Measure time and memory of one TRM training step, beside the rate of plain matrix products in the same process.

    python -m benchmarks.speed.step_time [--batch 32] [--steps 3] [--threads 1] [--modes plain eager compiled] [--json]

"plain" is the same arithmetic written as the formulas read (benchmarks/speed/plain_trm.py): the yardstick.
Each row of the table runs in a process of its own, so that its peak memory is its own. A step is: forward with all
cycles, loss, backward, AdamATan2, sign-SGD, average. The work is counted as matrix products alone (2 m n k each; a
backward costs twice its forward), so "of_ceiling" says how much of the time goes elsewhere, or into small products.
The ceiling is the fastest of the products of a second; it moves with the neighbours of the machine, so it is measured
before and after every step, and "of_ceiling" is the median over the steps. "of_lasting" is the share of what the
products of those seconds reached in the mean: a step has its share of slow moments, and so have they. Rates are per
second of processor time, so that a busy neighbour disturbs them less; wall_ms is elapsed time.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from benchmarks.speed.memory import peak
from trm_cli.schedule.clock import SETTLED

CONFIGURATIONS = [(variant, dtype) for variant in ("mlp_t", "attention") for dtype in ("float32", "bfloat16")]
MODES = ["plain", "eager", "compiled", "recomputed"]
SETTINGS: dict[str, Any] = {
    "H_cycles": 3,
    "L_cycles": 6,
    "L_layers": 2,
    "hidden_size": 512,
    "num_heads": 8,
    "expansion": 4.0,
    "mlp_t": False,
    "pos_encodings": "rope",
    "rope_theta": 10000.0,
    "halt_max_steps": 16,
    "halt_exploration_prob": 0.1,
    "puzzle_emb_ndim": 512,
    "puzzle_emb_len": 16,
    "no_ACT_continue": True,
    "latent": "two",
}
SEQUENCE, VOCABULARY = 81, 11


def gigaflop_per_row(mlp_t: bool) -> float:
    """Matrix products of one row in one training step, in 1e9 operations."""
    length, width = SEQUENCE + SETTINGS["puzzle_emb_len"], SETTINGS["hidden_size"]
    inner, token_inner = 1536, 512  # SwiGLU widths for 512 features and 97 tokens
    features = 3 * length * width * inner
    tokens = 3 * length * width * token_inner if mlp_t else 4 * length * width**2 + 2 * length**2 * width
    stack: float = 2 * SETTINGS["L_layers"] * (features + tokens)
    calls: int = SETTINGS["L_cycles"] + 1
    cycles: int = SETTINGS["H_cycles"]
    return stack * (calls * (cycles - 1) + 3 * calls) / 1e9


class Ceiling(NamedTuple):
    """GFLOP per second of processor time of 1024 x 1024 products: over a second, and of the fastest of them."""

    lasting: float
    best: float


def ceiling(dtype: str, seconds: float = 1.0) -> Ceiling:
    """What plain products reach now."""
    import torch

    a, b = (torch.randn(1024, 1024).to(getattr(torch, dtype)) for _ in range(2))
    times: list[float] = []
    torch.mm(a, b)
    while sum(times) < seconds:
        start = time.process_time()
        torch.mm(a, b)
        times.append(time.process_time() - start)
    work = 2 * 1024**3 / 1e9
    return Ceiling(work * len(times) / sum(times), work / min(times))


def one_update(variant: str, dtype: str, batch: int, mode: str) -> Callable[[], None]:
    """A function that carries out the next update of a fresh network on random boards."""
    import torch

    from benchmarks.speed.plain_trm import plain_loss
    from trm_cli.models.families import create_network
    from trm_cli.models.networks.trm import TrmConfig
    from trm_cli.training.optimizers.adam_atan2 import AdamATan2
    from trm_cli.training.optimizers.sign_sgd import SignSGD
    from trm_cli.training.state.ema import EMA

    settings = {**SETTINGS, "mlp_t": variant == "mlp_t"}
    model = create_network(
        TrmConfig(**settings), vocab_size=VOCABULARY, seq_len=SEQUENCE, num_puzzle_identifiers=1, forward_dtype=dtype
    )
    if mode == "compiled":
        model.compile_stacks()
    elif mode == "recomputed":
        model.recompute_activations()
    table = model.get_parameter("puzzle_embedding.weight")
    optimizer, signs = AdamATan2(model.trunk_parameters(), lr=1e-4), SignSGD(table, weight_decay=0.1)
    average = EMA(model, 0.999)
    data = {
        "inputs": torch.randint(0, VOCABULARY, (batch, SEQUENCE), dtype=torch.int32),
        "labels": torch.randint(0, VOCABULARY, (batch, SEQUENCE), dtype=torch.int32),
        "puzzle_identifiers": torch.zeros(batch, dtype=torch.int32),
    }
    carry = model.initial_carry(data)
    z_H, z_L = (model.get_buffer(name).to(model.dtype).expand_as(carry.z["z_H"]) for name in ("H_init", "L_init"))

    def update() -> None:
        nonlocal carry, z_H, z_L
        if mode == "plain":
            loss, z_H, z_L = plain_loss(model, z_H, z_L, data)
        else:
            result = model(carry, data, SETTLED, torch.rand(batch, 2))
            loss, carry = result.loss, result.carry
            del result  # its logits; a training loop keeps none either
        (loss / batch).backward()
        optimizer.step()
        optimizer.zero_grad()
        signs.step(1e-4)
        signs.zero_grad()
        average.update()

    return update


def measure(variant: str, dtype: str, batch: int, steps: int, threads: int, mode: str) -> dict[str, Any]:
    """One row of the table, measured in this process: an update to warm up, then `steps` between ceilings."""
    import torch

    from trm_cli.training.hardware.torch_runtime import keep_freed_memory

    if mode != "plain":
        keep_freed_memory()  # as every run of this program on a CPU does
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    update = one_update(variant, dtype, batch, mode)
    at_rest = peak()
    update()
    wall, used, ceilings = [], [], [ceiling(dtype)]
    for _ in range(steps):
        start, start_used = time.perf_counter(), time.process_time()
        update()
        wall.append(time.perf_counter() - start)
        used.append(time.process_time() - start_used)
        ceilings.append(ceiling(dtype))
    work = gigaflop_per_row(variant == "mlp_t") * batch
    around = [Ceiling(*(sum(pair) / 2 for pair in zip(*two, strict=True))) for two in itertools.pairwise(ceilings)]
    rates = [work / seconds for seconds in used]
    return {
        "variant": variant,
        "dtype": dtype,
        "batch": batch,
        "threads": threads,
        "mode": mode,
        "wall_ms": round(1000 * min(wall)),
        "cpu_ms": round(1000 * min(used)),
        "gflop": round(work),
        "gflops_per_s": round(work / min(used)),
        "ceiling_gflops_per_s": round(statistics.median(one.best for one in around)),
        "of_ceiling": round(statistics.median(rate / one.best for rate, one in zip(rates, around, strict=True)), 3),
        "of_lasting": round(statistics.median(rate / one.lasting for rate, one in zip(rates, around, strict=True)), 3),
        "peak_rss_mib": round(peak()),
        "step_rss_mib": round(peak() - at_rest),
    }


def main() -> None:
    """Run every configuration in a fresh process and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES[:3])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        variant, dtype, mode = arguments.only.split(",")
        row = measure(variant, dtype, arguments.batch, arguments.steps, arguments.threads, mode)
        print(json.dumps(row))
        return
    rows = []
    for variant, dtype in CONFIGURATIONS:
        plain: dict[str, Any] | None = None
        for mode in arguments.modes:
            row = in_a_process(variant, dtype, mode)
            plain = row if mode == "plain" else plain
            if plain is not None:
                row["time_of_plain"] = round(row["cpu_ms"] / plain["cpu_ms"], 2)
                row["memory_of_plain"] = round(row["step_rss_mib"] / plain["step_rss_mib"], 2)
            rows.append(row)
            if not arguments.json:
                print_row(row, header=len(rows) == 1)
    if arguments.json:
        print(json.dumps(rows, indent=2))


def in_a_process(variant: str, dtype: str, mode: str) -> dict[str, Any]:
    """One row, measured in a process of its own with the options of this one."""
    command = [sys.executable, "-m", "benchmarks.speed.step_time", *sys.argv[1:], "--only", f"{variant},{dtype},{mode}"]
    row: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return row


def print_row(row: dict[str, Any], *, header: bool) -> None:
    """Print one line of the table as soon as it is known, because all of it takes minutes."""
    widths = {name: max(len(name), 9) for name in row}
    for line in ([list(row)] if header else []) + [[str(value) for value in row.values()]]:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths.values(), strict=True)), flush=True)


if __name__ == "__main__":
    main()
