"""What a CUDA machine makes of TRM: parity with the CPU, then speed and memory. `make gpu-check`.

    python -m benchmarks.gpu_check [--batch 768] [--steps 20] [--out gpu_check.json]

Prints a table and writes JSON. Without a CUDA device it says so and ends with 0: there is nothing to check.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

from trm_cli.models import create_model
from trm_cli.training.optimizers.adam_atan2 import AdamATan2

SUDOKU = {"vocab_size": 11, "seq_len": 81, "num_puzzle_identifiers": 1}
GRID = {"vocab_size": 12, "seq_len": 900, "num_puzzle_identifiers": 1}
COMMON = {
    "H_cycles": 3,
    "L_layers": 2,
    "hidden_size": 512,
    "num_heads": 8,
    "expansion": 4.0,
    "rope_theta": 10000.0,
    "halt_max_steps": 16,
    "halt_exploration_prob": 0.1,
    "puzzle_emb_ndim": 512,
    "puzzle_emb_len": 16,
    "no_ACT_continue": True,
    "latent": "two",
}
CASES: dict[str, tuple[dict[str, Any], dict[str, int], int]] = {
    "sudoku mlp": ({"L_cycles": 6, "mlp_t": True, "pos_encodings": "none"}, SUDOKU, 1),
    "sudoku attention": ({"L_cycles": 6, "mlp_t": False, "pos_encodings": "rope"}, SUDOKU, 1),
    "30x30 attention": ({"L_cycles": 4, "mlp_t": False, "pos_encodings": "rope"}, GRID, 8),
}


def main() -> int:
    """Check parity, then measure each case in each precision, eager and compiled."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=768, help="rows of an update on 9x9 boards; 30x30 takes an eighth")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("gpu_check.json"))
    args = parser.parse_args()
    if not torch.cuda.is_available():
        print("no CUDA device here: nothing to check")
        return 0
    report: dict[str, Any] = {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "matmul_tflops": {name: round(matmul_rate(dtype), 1) for name, dtype in DTYPES.items()},
        "parity": {name: parity(name) for name in CASES},
        "speed": [],
    }
    print(f"{report['device']}, torch {torch.__version__}; matmul ceiling {report['matmul_tflops']} TFLOP/s")
    for name, error in report["parity"].items():
        print(f"parity with the CPU, float32, {name}: largest difference of a logit {error:.1e}")
    for name in CASES:
        for dtype in ("bfloat16", "float16", "float32"):
            for compiled in (False, True):
                row = measure(name, dtype, args.batch, args.steps, compiled)
                report["speed"].append(row)
                print(
                    f"{name:17} {dtype:9} {'compiled' if compiled else 'eager':9} batch {row['batch']:4}  "
                    f"{row['steps_per_second']:7.2f} steps/s  {row['samples_per_second']:9,.0f} samples/s  "
                    f"{row['peak_gib']:6.2f} GiB  {row['share_of_matmul']:5.0%} of matmul",
                    flush=True,
                )
    args.out.write_text(json.dumps(report, indent=2) + "\n")
    worst = max(report["parity"].values())
    print(f"written to {args.out}")
    return 0 if worst < 1e-2 else 1


DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


def build(name: str, dtype: str) -> torch.nn.Module:
    """A new model of a case, on the CPU."""
    torch.manual_seed(0)
    settings, facts, _ = CASES[name]
    return create_model("trm", {**COMMON, **settings, "forward_dtype": dtype}, **facts)


def rows(name: str, batch: int, device: str) -> dict[str, torch.Tensor]:
    """A batch of random tokens."""
    _, facts, _ = CASES[name]
    generator = torch.Generator().manual_seed(1)
    shape = (batch, facts["seq_len"])
    tokens = torch.randint(1, facts["vocab_size"], (2, *shape), generator=generator, dtype=torch.int32)
    identifiers = torch.zeros(batch, dtype=torch.int32)
    fields = {"inputs": tokens[0], "labels": tokens[1], "puzzle_identifiers": identifiers}
    return {field: value.to(device) for field, value in fields.items()}


def parity(name: str) -> float:
    """The largest difference of a logit between CPU and CUDA after one step in float32 without TF32."""
    torch.backends.cuda.matmul.allow_tf32 = False
    answers = []
    for device in ("cpu", "cuda"):
        model = build(name, "float32").to(device).eval()
        batch = rows(name, 2, device)
        with torch.inference_mode():
            _, outputs = model.advance(model.initial_carry(batch), batch, None, None)  # type: ignore[operator]
        answers.append(outputs.logits.float().cpu())
    return float((answers[0] - answers[1]).abs().max())


def measure(name: str, dtype: str, batch: int, steps: int, compiled: bool) -> dict[str, Any]:
    """Time `steps` updates after a warm-up."""
    torch.compiler.reset()
    batch //= CASES[name][2]
    model = build(name, dtype).cuda()
    if compiled:
        model.compile_stacks()  # type: ignore[operator]
    optimizer = AdamATan2(model.trunk_parameters(), 1e-4, weight_decay=1.0)  # type: ignore[operator]
    data = rows(name, batch, "cuda")
    carry = model.initial_carry(data)  # type: ignore[operator]
    draws = torch.rand(batch, model.draws_per_row, device="cuda")  # type: ignore[arg-type]

    def step() -> None:
        nonlocal carry
        result = model(carry, data, None, draws)
        (result.loss / batch).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        model.puzzle_embedding.weight.grad = None  # type: ignore[union-attr]
        carry = result.carry

    for _ in range(3):
        step()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    for _ in range(steps):
        step()
    torch.cuda.synchronize()
    rate = steps / (time.perf_counter() - started)
    return {
        "case": name,
        "precision": dtype,
        "compiled": compiled,
        "batch": batch,
        "steps_per_second": rate,
        "samples_per_second": rate * batch,
        "peak_gib": torch.cuda.max_memory_allocated() / 2**30,
        "share_of_matmul": rate * flops(name, batch) / (1e12 * matmul_rate(DTYPES[dtype])),
    }


def flops(name: str, batch: int) -> float:
    """Matrix arithmetic of one update: 2 per multiply-add, backward counted twice the forward."""
    settings, facts, _ = CASES[name]
    width, length = COMMON["hidden_size"], facts["seq_len"] + COMMON["puzzle_emb_len"]
    hidden, token = gated(width), gated(length)
    mlp = 3 * length * width * hidden
    mix = 3 * length * width * token if settings["mlp_t"] else 4 * length * width**2 + 2 * length**2 * width
    call = COMMON["L_layers"] * (mlp + mix)
    calls = settings["L_cycles"] + 1
    return 2.0 * batch * call * ((COMMON["H_cycles"] - 1) * calls + 3 * calls)


def gated(width: int) -> int:
    """Inner width of a gated MLP with expansion 4."""
    return -(-round(4 * width * 2 / 3) // 256) * 256


def matmul_rate(dtype: torch.dtype) -> float:
    """TFLOP/s of a large square product."""
    size = 8192 if dtype != torch.float32 else 4096
    left, right = (torch.randn(size, size, device="cuda", dtype=dtype) for _ in range(2))
    for _ in range(3):
        left @ right
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(10):
        left @ right
    torch.cuda.synchronize()
    return 10 * 2 * size**3 / (time.perf_counter() - started) / 1e12


if __name__ == "__main__":
    sys.exit(main())
