"""Checks of this machine and the training settings that follow. A check that raises becomes a finding."""

from __future__ import annotations

import platform
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from trm_cli.training.hardware.devices import available_cores, choose_compile, choose_device, choose_precision
from trm_cli.training.hardware.resources import HEADROOM, Gpu, disk_bytes, gpus, memory_bytes
from trm_cli.training.recording.wandb_logger import wandb_mode

HUB_SECONDS = 3.0
#: Packages of the extras of setup.cfg, and what they are for.
EXTRAS = {
    "matplotlib": "plots of plans",
    "tensorboard": "event files",
    "nvidia-ml-py": "energy of an NVIDIA GPU",
    "ray": "datasets that are built by a cluster",
    "optuna": "sweeps that choose their trials",
    "onnx": "networks for other programs",
    "onnxscript": "networks for other programs",
    "onnxruntime": "networks for other programs",
    "starlette": "the page of `trm demo`",
    "uvicorn": "the page of `trm demo`",
    "tokenizers": "text in tokens",
}
_NEEDED_DISK = 5e9  # the datasets and a few checkpoints of the default recipes
_FLAGSHIP = "multimodal_hesc"


@dataclass(frozen=True)
class Finding:
    """The result of one check: what was found and what it means; `good` is False for a problem."""

    name: str
    found: str
    means: str = ""
    good: bool = True


@dataclass(frozen=True)
class Advice:
    """Recommended settings. batch: batch size of vision-unified that fits on the GPU; None without one."""

    device: str
    precision: str
    compile: str
    model: str
    batch: int | None
    reason: str


def examine(folder: Path) -> list[Finding]:
    """Run all checks, in the order in which they are shown; `folder` is where runs would be written."""
    answers: list[Finding] = []
    hub = threading.Thread(target=lambda: answers.append(_guarded("hub", _hub)), daemon=True)
    hub.start()  # the slowest check runs beside the others

    def hub_answer() -> Finding:
        hub.join(HUB_SECONDS)
        return answers[0] if answers else Finding("hub", "no answer", _OFFLINE)

    checks: list[tuple[str, Callable[[], Finding]]] = [
        ("python", _python),
        ("torch", _torch),
        ("cuda", _cuda),
        ("kernel", _kernel),
        ("cores", _cores),
        ("memory", _memory),
        ("disk", lambda: _disk(folder)),
        ("wandb", _wandb),
        ("hub", hub_answer),
        ("extras", _extras),
    ]
    return [_guarded(name, check) for name, check in checks]


def advise() -> Advice:
    """The settings that `auto` selects, and the batch size of vision-unified on the first GPU."""
    device = choose_device("auto").value
    precision, compiled = choose_precision("auto", device).value, choose_compile("auto", device).value
    found = gpus() if device == "cuda" else []
    if not found:
        reason = "learns on a CPU in minutes; vision-unified needs a GPU"
        return Advice(device, precision, compiled, "sudoku-4x4", None, reason)
    from trm_cli.config.compose import compose
    from trm_cli.workflows.inspect.model_report import rows_of, training_memory

    config = compose(None, [f"arch={_FLAGSHIP}"]).config
    memory = training_memory(config, rows_of(config, None), precision)
    largest = memory.largest_batch(found[0].free - HEADROOM)
    batch = max((size for size in (8, 16, 32, 64, 128, 256) if size <= largest), default=None)
    reason = f"batches of up to {largest:,} fit in free GPU memory" if batch else "vision-unified does not fit"
    return Advice(device, precision, compiled, "vision-unified" if batch else "sudoku-4x4", batch, reason)


def _guarded(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except Exception as error:  # noqa: BLE001  one failing check must not hide the others
        return Finding(name, f"check failed: {type(error).__name__}: {error}", good=False)


_OFFLINE = "only built-in and local data; hub: sources and TinyStories need it"


def _python() -> Finding:
    version = platform.python_version()
    good = sys.version_info >= (3, 11)
    return Finding(
        "python", f"{version}, {platform.system()} {platform.machine()}", "" if good else "3.11 or later", good
    )


def _torch() -> Finding:
    import torch

    build = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
    return Finding("torch", f"{torch.__version__}, built {build}")


def _cuda() -> Finding:
    import torch

    found = gpus()
    if not found:
        why = "torch finds no GPU" if torch.version.cuda else "CPU-only build"
        return Finding("cuda", "none", f"{why}; training on CPU")
    return Finding("cuda", "; ".join(map(_gpu, found)), "training uses the first GPU")


def _kernel() -> Finding:
    """Multiply two matrices where training would: a driver that is too old, or a broken one, shows only then."""
    import torch

    device = choose_device("auto").value
    precision = choose_precision("auto", device).value
    ones = torch.ones(64, 64, device=device, dtype=getattr(torch, precision))
    found = float((ones @ ones).float().mean())
    good = found == len(ones)
    return Finding("kernel", f"matmul on {device} in {precision}", "correct" if good else f"wrong: {found}", good)


def _gpu(gpu: Gpu) -> str:
    major, minor = gpu.capability
    return f"{gpu.name}, {gpu.free / 1e9:.1f} of {gpu.memory / 1e9:.1f} GB free, capability {major}.{minor}"


def _cores() -> Finding:
    return Finding("cores", str(available_cores()), "threads=auto uses them where matmuls are large enough")


def _memory() -> Finding:
    size = memory_bytes()
    return Finding("memory", f"{size / 1e9:.1f} GB", "" if size > 4e9 else "low: use small networks", size > 2e9)


def _disk(folder: Path) -> Finding:
    free = disk_bytes(folder)
    if free is None:
        return Finding("disk", f"cannot read {folder}", good=False)
    good = free > _NEEDED_DISK
    return Finding(
        "disk", f"{free / 1e9:.1f} GB free here", "" if good else "too little for datasets and checkpoints", good
    )


def _wandb() -> Finding:
    mode = wandb_mode("auto")
    means = {
        "online": "runs are logged online",
        "offline": "not logged in; runs are logged to files (`wandb login` to log online)",
        "disabled": "disabled by WANDB_MODE",
    }
    return Finding("wandb", f"{metadata.version('wandb')}, {mode}", means.get(mode, ""))


def _hub() -> Finding:
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return Finding("hub", "disabled by HF_HUB_OFFLINE", _OFFLINE)
    try:
        with urlopen(Request(constants.ENDPOINT, method="HEAD"), timeout=HUB_SECONDS):
            pass
    except HTTPError:
        pass  # it answered
    except OSError as error:
        return Finding("hub", f"unreachable ({getattr(error, 'reason', error)})", _OFFLINE)
    return Finding("hub", "reachable")


def _extras() -> Finding:
    missing: list[str] = []
    uses: dict[str, None] = {}
    for package, use in EXTRAS.items():
        try:
            metadata.version(package)
        except metadata.PackageNotFoundError:
            missing.append(package)
            uses[use] = None
    if not missing:
        return Finding("extras", "all installed")
    return Finding("extras", f"missing: {', '.join(missing)}", f"{', '.join(uses)}: pip install {' '.join(missing)}")
