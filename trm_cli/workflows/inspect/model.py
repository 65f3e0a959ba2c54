"""Inspect a network: parameters, arithmetic, memory, and the machines that it fits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trm_cli.config.schema import RunConfig
    from trm_cli.workflows.inspect.model_report import ModelReport, Rows, TrainingMemory


@dataclass(frozen=True)
class MachineFit:
    """Whether the model can be trained in `available` bytes of memory of a machine, and the largest batch that fits."""

    machine: str
    precision: str
    available: int
    needed: int
    largest_batch: int

    @property
    def fits(self) -> bool:
        """Whether the needed memory is available."""
        return self.needed <= self.available


@dataclass(frozen=True)
class ModelInspection:
    """A report on a network, and the machines that it fits. leads_to: the words of the next command."""

    name: str
    leads_to: Sequence[str]
    report: ModelReport
    fits: Sequence[MachineFit]


def inspect_model(
    named: str | None,
    overrides: Sequence[str] = (),
    *,
    batch_size: int | None = None,
    precision: str | None = None,
    data: str | None = None,
    notify: Callable[[str], None] = lambda _: None,
) -> ModelInspection:
    """Measure one update of an architecture, a model or a run, without computing it.

    batch_size, precision None: as configured, and as training would choose it here. data: a dataset from which the
    sizes of rows are taken. Raises UsageError, ConfigError or DatasetError.
    """
    name, config, recipe, leads_to = _config(named, overrides, notify)
    from trm_cli.data.files.metadata import read_metadata
    from trm_cli.training.hardware.devices import choose_device, choose_precision, expect_device, expect_precision
    from trm_cli.training.hardware.torch_runtime import prepare_threads

    expect_device(config.device)
    expect_precision(precision or config.precision)
    if data is not None:
        read_metadata(data, "train")  # before torch, which takes seconds to load
    prepare_threads()
    notify(f"measuring one update of {name} without computing it ...")
    from trm_cli.workflows.inspect.model_report import report, rows_of

    rows, batch = rows_of(config, data, recipe), batch_size or config.global_batch_size
    device = choose_device(config.device).value
    made = report(config, rows, batch, choose_precision(precision or config.precision, device).value, device)
    return ModelInspection(name, leads_to, made, _verdicts(config, rows, made, device, precision))


def _config(
    named: str | None, overrides: Sequence[str], notify: Callable[[str], None]
) -> tuple[str, RunConfig, Mapping[str, Any], Sequence[str]]:
    """Resolve the name of a run, a model (also by its file), or an architecture; and the arguments of its builder, and
    the words of the command that trains or evaluates it."""
    from trm_cli.config import registry
    from trm_cli.config.compose import compose
    from trm_cli.training.run.readable_copies import check_copies
    from trm_cli.training.run.sealed_config import load_run
    from trm_cli.training.run_files import is_run

    if named is not None and is_run(run := Path(named)):
        check_copies(run, notify)
        return named, load_run(run, overrides).config, {}, ("evaluate", named)
    is_model = named is not None and registry.find("models", named) is not None
    words, model = list(overrides), named
    if named is not None and not is_model:
        near = registry.nearest(named, registry.names("arch"))
        if registry.find("arch", named) is not None or (near and not registry.nearest(named, registry.names("models"))):
            words, model = [f"arch={named}", *overrides], None  # which names the nearest architecture
    found = compose(model, words)
    arguments = {} if found.registry is None else found.registry.dataset_args
    trained = "MODEL" if named is not None and model is None else model or found.config.model
    return named or found.config.model, found.config, arguments, ("train", trained, *words)


def _verdicts(config: RunConfig, rows: Rows, made: ModelReport, device: str, asked: str | None) -> list[MachineFit]:
    """Judge a 15 GB T4 (in float16 unless another precision is requested) and this machine."""
    from trm_cli.training.hardware.resources import HEADROOM, gpus, memory_bytes
    from trm_cli.workflows.inspect.model_report import T4_BYTES, training_memory

    def judge(machine: str, of: TrainingMemory, available: int) -> MachineFit:
        needed = of.at(made.batch_size).total
        return MachineFit(machine, of.precision, available, needed, of.largest_batch(available))

    here = made.training_memory
    on_t4 = here if asked or made.precision == "float16" else training_memory(config, rows, "float16")
    verdicts = [judge("a T4 with 15 GB", on_t4, T4_BYTES)]
    if device == "cuda":
        gpu = gpus()[0]
        verdicts.append(judge(f"this {gpu.name}", here, gpu.memory - HEADROOM))
    else:
        verdicts.append(judge("this machine", here, memory_bytes()))
    return verdicts
