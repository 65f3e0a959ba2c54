"""Watch the capsules of a trained network."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from trm_cli.models.capsule_network import CapsuleStep, CapsuleTrace
from trm_cli.models.hesc.passes import HescOutputs
from trm_cli.models.hesc.rows.kinds import Kind
from trm_cli.models.network import Network
from trm_cli.models.thinking import think


def trace(model: Network, batch: Mapping[str, Tensor], grid: tuple[int, int]) -> CapsuleTrace:
    """All steps of rows of one kind (a text takes its own number of them); grid: rows and columns of capsules."""
    steps = []
    is_text = bool((batch["kind"] == Kind.TEXT).all())
    # A text takes its own number of steps and halts then whatever the policy says.
    for step in think(model, batch, policy="bce" if is_text else "full"):
        outputs = step.outputs
        assert isinstance(outputs, HescOutputs) and outputs.thought is not None
        assert outputs.action is not None and outputs.opened is not None
        part = outputs.thought.parts[0]
        assert part.maps is not None
        steps.append(
            CapsuleStep(
                answer=model.answer(outputs),
                q_halt=outputs.q_halt,
                maps=part.maps,
                residual=None if part.detail is None else outputs.thought.residual,
                opened=outputs.opened,
                path_shares=None if part.plan is None else part.plan.shares,
                q=outputs.q,
                action=outputs.action,
            )
        )
    return CapsuleTrace(grid=grid, steps=tuple(steps))
