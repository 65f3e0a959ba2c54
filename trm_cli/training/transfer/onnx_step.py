"""Export one supervision step of a network of tokens as ONNX: carry in, carry out, any number of rows.

inputs int32 [B, S]; puzzle_identifiers int32 [B], where the network has a puzzle table; fresh bool [B], true for rows
that begin with a new puzzle, whose carry is not read; z_H, z_L ... float32 [B, L, D], the carried states.
logits float32 [B, S, V]; q_halt float32 [B]; next_z_H, next_z_L ..., the states for the next step.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from trm_cli.data.files.durable import write_atomically
from trm_cli.errors import CheckpointError, TrmError, UsageError, writing
from trm_cli.models.kernels.choice import plain_formulas
from trm_cli.models.layers.stack import run_stack
from trm_cli.models.networks.shared.token_network import TokenNetwork

if TYPE_CHECKING:
    from trm_cli.training.run.trained_model import TrainedModel

#: How far logits and states computed by onnxruntime may be from those of torch.
TOLERANCE = 1e-4
#: Up to this size of a value; sixteen steps between numbers of float32 are wider beyond it.
_RESOLVED = TOLERANCE / (16 * torch.finfo(torch.float32).eps)


class OneStep(nn.Module):
    """What a supervision step computes, as a function of tensors alone."""

    def __init__(self, network: TokenNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor, identifiers: Tensor, fresh: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """See the module."""
        network, config = self.network, self.network.config
        initial = network.initial_states()
        z = {
            name: torch.where(fresh[:, None, None], initial[name], state)
            for name, state in zip(config.states, states, strict=True)
        }
        stacks = {
            name: partial(
                run_stack,
                weights=stack.cast(torch.float32),
                rope=network.rope,
                num_heads=stack.num_heads,
                causal=stack.causal,
            )
            for name, stack in network.stacks().items()
        }
        x = network.embed({"inputs": inputs, "puzzle_identifiers": identifiers})
        z = config.think(z, x, stacks, nullcontext)
        outputs = network.read(z[config.answer_state], network.lm_head)
        return (outputs.logits, outputs.q_halt, *(z[name] for name in config.states))


def export_onnx(trained: TrainedModel, out: Path) -> float:
    """Write the step of a model to `out`, after a comparison with torch; returns the largest difference found.

    Raises UsageError for a network that is no network of tokens and where packages are missing, CheckpointError where
    the exported step computes something else: nothing is written then; TrmError where the file cannot be written.
    """
    network = token_network(trained)
    data = _with_facts(_exported(network), trained)
    difference = _largest_difference(network, data)
    if not difference <= TOLERANCE:
        raise CheckpointError(f"the exported step differs from torch by {difference:.2g}, more than {TOLERANCE:g}")
    with writing(out, instead="another file", error_class=TrmError):
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(out, data)
    return difference


def token_network(trained: TrainedModel) -> TokenNetwork:
    """The network of a model, where it is one of tokens and the packages are there. Raises UsageError."""
    if not isinstance(trained.model, TokenNetwork):
        raise UsageError(
            f"{trained.config.arch.name} cannot be exported as ONNX: its steps depend on what is in the rows",
            hint="networks of tokens can: those of the families trm, hrm and transformer",
        )
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise UsageError(f"ONNX needs {', '.join(missing)}", hint="pip install onnx onnxscript onnxruntime")
    return trained.model


def _exported(network: TokenNetwork) -> Any:
    """The step as an ONNX document, whose first axes are called `rows`."""
    names = network.config.states
    rows = torch.export.Dim("rows")
    step = OneStep(network.float().cpu()).eval().requires_grad_(False)
    shapes = ({0: rows}, {0: rows}, {0: rows}, tuple({0: rows} for _ in names))
    with _silent(), plain_formulas():
        program = torch.export.export(step, _example(network, rows=3), dynamic_shapes=shapes, strict=False)
        made = torch.onnx.export(
            program,
            dynamo=True,
            verbose=False,
            optimize=False,  # it would write each weight once for each time that it is used
            input_names=["inputs", "puzzle_identifiers", "fresh", *names],
            output_names=["logits", "q_halt", *(f"next_{name}" for name in names)],
        )
    assert made is not None
    document = made.model_proto
    for value in (*document.graph.input, *document.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "rows"
    return document


@contextmanager
def _silent() -> Iterator[None]:
    """What exporters say of themselves is nothing to users."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def _with_facts(document: Any, trained: TrainedModel) -> bytes:
    """The document with what its user has to know, as its metadata."""
    config, network = trained.config, trained.model
    facts = {
        "model": config.model or "",
        "architecture": config.arch.name,
        "step": str(trained.step),
        "weights": trained.weights,
        "halt_max_steps": str(network.halt_max_steps),
        "dataset": json.dumps(trained.metadata.to_json()),
    }
    for key, value in facts.items():
        entry = document.metadata_props.add()
        entry.key, entry.value = key, value
    data: bytes = document.SerializeToString()
    return data


def _example(network: TokenNetwork, rows: int, seed: int = 0) -> tuple[Tensor, ...]:
    """Random inputs of a step, of which the first row is fresh."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randint(0, len(network.embed_tokens), (rows, network.seq_len), generator=generator)
    fresh = torch.arange(rows) == 0
    shape = (rows, network.positions, network.config.hidden_size)
    states = [torch.randn(shape, generator=generator) for _ in network.config.states]
    table = network.puzzle_embedding
    identifiers = torch.randint(0, 1 if table is None else len(table.weight), (rows,), generator=generator)
    return (inputs.int(), identifiers.int(), fresh, *states)


def _largest_difference(network: TokenNetwork, data: bytes) -> float:
    """Between onnxruntime and torch, over two steps of other numbers of rows than the example's."""
    session, found = open_session(data), 0.0
    step = OneStep(network)
    for rows in (1, 4):
        given = _example(network, rows, seed=rows)
        for _ in range(2):
            with torch.no_grad():
                expected = step(*given)
            computed = run_session(session, given)
            found = max(found, *map(_distance, computed, expected))
            given = (*given[:2], torch.zeros_like(given[2]), *expected[2:])
    return found


def _distance(computed: Tensor, expected: Tensor) -> float:
    """The largest difference; of values that float32 does not resolve so finely, as a share of what it does."""
    return float((computed - expected).abs().max()) / max(1.0, float(expected.abs().max()) / _RESOLVED)


def open_session(model: bytes | str) -> Any:
    """An onnxruntime session on one thread of the processor."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run_session(session: Any, given: Sequence[Tensor]) -> list[Tensor]:
    """One step: (logits, q_halt, states ...)."""
    names = [one.name for one in session.get_inputs()]
    values = {name: tensor.numpy() for name, tensor in zip(names, given, strict=True)}
    return [torch.from_numpy(array) for array in session.run(None, values)]
