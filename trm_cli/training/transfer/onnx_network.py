"""A network whose supervision steps are computed by onnxruntime, in the place of the one that it was exported from."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from trm_cli.models.supervision.carry import Carry, refresh
from trm_cli.models.supervision.outputs import Outputs
from trm_cli.training.transfer.onnx_step import export_onnx, open_session, run_session, token_network

if TYPE_CHECKING:
    from trm_cli.models.network import Batch
    from trm_cli.models.networks.shared.token_network import TokenNetwork
    from trm_cli.training.run.trained_model import TrainedModel


class OnnxNetwork(nn.Module):
    """Answers as `network` does, each step by an exported file. For inference on the processor; it learns nothing."""

    def __init__(self, network: TokenNetwork, session: Any) -> None:
        super().__init__()
        self.network = network
        self.session = session

    def __getattr__(self, name: str) -> Any:
        """What is no step is the network's."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("network"), name)

    def advance(self, carry: Carry, batch: Batch) -> tuple[Carry, Outputs]:
        """See `Network`."""
        fresh, states = carry.halted, self.network.config.states
        z = list(carry.z.values())
        carry = refresh(carry, batch, self.network.initial_states())
        given = (carry.data["inputs"], carry.data["puzzle_identifiers"], fresh, *z)
        logits, q_halt, *after = run_session(self.session, given)
        outputs = Outputs(logits, q_halt, torch.zeros_like(q_halt))
        steps = carry.steps + 1
        halted = (steps >= self.network.halt_max_steps) | (q_halt > 0)
        return replace(carry, z=dict(zip(states, after, strict=True)), steps=steps, halted=halted), outputs


def with_onnx(trained: TrainedModel) -> TrainedModel:
    """The same model with its steps computed by onnxruntime. Raises UsageError and CheckpointError."""
    network = token_network(trained)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "step.onnx")
        export_onnx(trained, path)
        session = open_session(path.read_bytes())
    return replace(trained, model=OnnxNetwork(network, session))  # type: ignore[arg-type]
