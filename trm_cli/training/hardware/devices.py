"""The device, precision, compilation and number of threads of a run, each chosen with a reason that is printed."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trm_cli.errors import UsageError
from trm_cli.training.hardware import torch_runtime

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Choice:
    """A decision and why it was taken."""

    value: str
    reason: str


def available_cores() -> int:
    """Return how many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "float32", "bfloat16", "float16")


def cores_in_words() -> str:
    """The processor cores of this process, in words: "1 core", "n cores"."""
    count = available_cores()
    return f"{count} core{'s' * (count != 1)}"


#: Where Linux shows the driver of a GPU: NVIDIA's, WSL's, that of Jetson boards, and AMD's, which torch calls cuda too.
_DRIVERS = ("/dev/nvidiactl", "/dev/nvidia0", "/proc/driver/nvidia", "/dev/dxg", "/dev/nvmap", "/dev/kfd")


def expect_device(wanted: str) -> None:
    """Refuse a device that this system cannot have; without torch, which takes seconds to load. Raises UsageError."""
    if wanted not in DEVICES:
        raise UsageError(f"device={wanted}: expected one of {', '.join(DEVICES)}")
    if wanted == "cuda" and sys.platform == "linux" and not any(map(os.path.exists, _DRIVERS)):
        raise UsageError(f"device=cuda, but there is no CUDA device here: no driver ({_DRIVERS[0]})", hint=_ELSE)
    if wanted == "mps" and sys.platform != "darwin":
        raise UsageError("device=mps, but Apple's GPUs are in Macs alone", hint=_ELSE)


_ELSE = "leave it out, or use device=cpu; `trm doctor` says what torch sees"


def choose_device(wanted: str) -> Choice:
    """`auto`: CUDA where there is one, else the CPU; mps only on request. Raises UsageError for what is not here."""
    expect_device(wanted)
    import torch

    if wanted == "auto":
        if torch.cuda.is_available():
            return Choice("cuda", torch.cuda.get_device_name())
        return Choice("cpu", f"no CUDA device here; {cores_in_words()}")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UsageError("device=cuda, but torch sees no CUDA device here", hint=_ELSE)
    if wanted == "mps" and not torch.backends.mps.is_available():
        raise UsageError("device=mps, but torch sees no Apple GPU here", hint=_ELSE)
    return Choice(wanted, "as configured")


def expect_precision(wanted: str) -> None:
    """Refuse a word that is no precision; without torch. Raises UsageError."""
    if wanted not in PRECISIONS:
        raise UsageError(f"precision={wanted}: expected one of {', '.join(PRECISIONS)}")


def choose_precision(wanted: str, device: str) -> Choice:
    """`auto`: bfloat16 where the chip computes in it, float16 on older CUDA GPUs, float32 on the CPU.

    Raises UsageError for anything but a precision.
    """
    expect_precision(wanted)
    import torch

    x86 = platform.machine().lower() in ("x86_64", "amd64")  # of others torch does not tell
    if wanted == "bfloat16" and device == "cpu" and x86 and not _multiplies_in_bfloat16():
        # On such a CPU matrix products took 78 times as long as in float32, and an update of sudoku-small 12 times.
        return Choice(wanted, "as configured; emulated on this CPU: float32 is many times as fast")
    if wanted != "auto":
        return Choice(wanted, "as configured")
    if device != "cuda":
        faster = device == "cpu" and _multiplies_in_bfloat16()
        return Choice("float32", f"full precision{'; bfloat16 is 1.2x to 2x faster on this CPU' if faster else ''}")
    # is_bf16_supported() is true on GPUs that merely emulate it, a T4 for instance, where it is slow.
    if torch.cuda.get_device_capability() >= (8, 0):
        return Choice("bfloat16", "native on this GPU")
    return Choice("float16", "this GPU has no native bfloat16")


def _multiplies_in_bfloat16() -> bool:
    """Whether this CPU has instructions for products in bfloat16 (AVX-512 BF16, AMX)."""
    import torch

    tests = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(test() for test in tests if test is not None)


#: Whether float32 products may use TF32: float32 means full precision; bfloat16 is faster than TF32 and half as large.
TF32 = Choice("off", "float32 matmuls keep full precision; precision=bfloat16 is faster")


def choose_compile(wanted: bool | str, device: str, *, sharded: bool = False) -> Choice:
    """`auto`: compile on CUDA devices, where it is worth a minute of warm-up; `graphs`: as CUDA graphs, too.

    sharded: weights move, which no CUDA graph can follow. Nothing is compiled where a tool is missing that
    torch.compile calls, or on a device that triton does not support.
    """
    import torch

    if wanted is False:
        return Choice("off", "as configured")
    if wanted != "auto":
        reason = "as configured"
    elif device == "cuda":
        reason = "the first steps take about a minute, later ones are faster"
    else:
        return Choice("off", "little to gain on this device; compile=true to try it")
    if device == "cuda" and (capability := torch.cuda.get_device_capability()) < _OLDEST_OF_TRITON:
        return Choice("off", f"triton needs capability 7.0 or later, this GPU has {capability[0]}.{capability[1]}")
    if missing := _missing_compiler(device):
        return Choice("off", f"torch.compile needs {missing}")
    if wanted != "graphs":
        return Choice("on", reason)
    if device != "cuda":
        return Choice("on", f"there are no CUDA graphs on {device}")
    return Choice("on", "CUDA graphs cannot follow sharded weights") if sharded else Choice("graphs", reason)


#: The capability of the oldest CUDA devices that triton compiles for.
_OLDEST_OF_TRITON = (7, 0)


def _missing_compiler(device: str) -> str | None:
    """What torch.compile would call and not find; asked without loading it, which takes a second."""
    if device == "cuda":
        if importlib.util.find_spec("triton") is None:
            return "triton, which is not installed: pip install triton"
        return _missing_program("CC", ("clang", "gcc"), "a C compiler")
    if device == "cpu":
        return _missing_program("CXX", ("clang++" if sys.platform == "darwin" else "g++",), "a C++ compiler")
    return None


def _missing_program(variable: str, names: Sequence[str], what: str) -> str | None:
    """The environment variable names the program, else one of `names` is on the path."""
    named = os.environ.get(variable)
    if any(map(shutil.which, [named] if named else names)):
        return None
    found = f"{variable}={named} is not there" if named else f"no {' or '.join(names)} is on the PATH"
    return f"{what}: {found}"


def is_compile_failure(error: BaseException) -> bool:
    """Whether torch.compile raised this, and not what it was to compile."""
    return any(kind.__module__.startswith(("torch._dynamo", "torch._inductor")) for kind in type(error).__mro__)


def choose_threads(wanted: int | str, *, rows: int, width: int, processes: int = 1) -> Choice:
    """`auto`: all cores where a matmul of the model's size (rows x width) is clearly faster on them, else one.

    processes: how many on this machine share its cores.

    With a busy neighbour, threads wait for each other after every product: where a product takes a millisecond, two
    threads were seen 25 times slower than one. So a small model gets one thread whatever the moment says, and for a
    large one both are timed, for a fraction of a second.
    """
    if isinstance(wanted, int):
        return Choice(str(wanted), "as configured")
    cores = max(1, available_cores() // processes)
    if cores == 1:
        return Choice("1", "one core" if processes == 1 else f"{processes} processes share {cores_in_words()}")
    alone = _product_seconds(1, rows, width)
    if alone < _SMALL:
        return Choice("1", "matmuls too small for more threads")
    ratio = alone / _product_seconds(cores, rows, width)
    if ratio > _WORTH_IT:
        return Choice(str(cores), f"benchmarked at {ratio:.1f}x of one thread")
    return Choice("1", f"{cores} threads benchmarked at {ratio:.1f}x of one thread")


def keep_threads(pinned: int, *, processes: int) -> Choice:
    """Keep the number of threads of a resumed run, or fewer where its processes now have fewer cores each."""
    share = max(1, available_cores() // processes)
    if processes == 1 or pinned <= share:
        return Choice(str(pinned), "as this run started")
    return Choice(str(share), f"{processes} processes share {cores_in_words()}; the run started with {pinned}")


#: Two threads must save at least this much; below it a busy moment later costs more than they gain.
_WORTH_IT = 1.3
#: Seconds; a scheduler's turn is a few milliseconds, and a thread that is waited for may miss one.
_SMALL = 0.01
_TIMINGS = 12


def _product_seconds(threads: int, rows: int, width: int) -> float:
    """The median time of a gated product on this many threads, as the model computes it over and over."""
    import torch

    with torch_runtime.threads(threads):
        activations, weights = torch.ones(rows, width), torch.ones(width, 4 * width)
        times = []
        for _ in range(_TIMINGS):
            started = time.perf_counter()
            torch.nn.functional.silu(activations @ weights)
            times.append(time.perf_counter() - started)
    return sorted(times)[_TIMINGS // 2]


def synchronise(device: torch.device) -> None:
    """Wait for the device, so that a clock read afterwards includes its work."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
