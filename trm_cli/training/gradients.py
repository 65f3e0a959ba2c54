"""Gradient norms by group, gradient clipping, and the check that loss and gradients are finite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from trm_cli.models.network import Network
from trm_cli.training.distributed.process_group import SINGLE_PROCESS, ProcessGroup
from trm_cli.training.distributed.tensor_shards import is_sharded, local_tensors

Groups = Mapping[str, Sequence[nn.Parameter]]


def gradient_groups(model: Network) -> dict[str, list[nn.Parameter]]:
    """The parameter groups of the model. Raises AssertionError unless each trunk parameter is in exactly one."""
    groups: dict[str, list[nn.Parameter]] = model.gradient_groups()
    grouped = [id(parameter) for group in groups.values() for parameter in group]
    trunk = {id(parameter) for parameter in model.trunk_parameters()}
    assert len(grouped) == len(set(grouped)) and set(grouped) == trunk, "the groups must partition the trunk"
    return groups


def gradient_norms(groups: Groups, process_group: ProcessGroup = SINGLE_PROCESS) -> Tensor:
    """The Euclidean norm of each group's gradient, [G], on the device, over the shards of all processes."""
    gradients = [_gradients(group) for group in groups.values()]
    device = next(parameter.device for group in groups.values() for parameter in group)
    norms = torch.stack([_norm(local_tensors(group), device) for group in gradients])
    if any(is_sharded(gradient) for group in gradients for gradient in group):
        squares = norms.square()
        process_group.sum_([squares])
        return squares.sqrt()
    return norms


def _norm(gradients: list[Tensor], device: torch.device) -> Tensor:
    """The norm of some gradients, 0-dim; of none the zero is made where it belongs, not copied there."""
    if not gradients:
        return torch.zeros((), device=device)
    return torch.nn.utils.get_total_norm(gradients).to(device)


def clip_gradients(groups: Groups, norms: Tensor, limit: float) -> None:
    """Clip the gradient of each group separately to a norm of at most `limit`. norms: `gradient_norms(groups)`."""
    for group, norm in zip(groups.values(), norms.unbind(), strict=True):
        gradients = local_tensors(_gradients(group))
        if gradients:
            torch._foreach_mul_(gradients, (limit / (norm + 1e-6)).clamp(max=1.0))


def finite(loss: Tensor, norms: Tensor) -> Tensor:
    """Whether the loss (0-dim), and whether all gradient norms [G], are finite: bool [2], on the device."""
    return torch.stack((loss.isfinite(), norms.isfinite().all()))


def _gradients(group: Sequence[nn.Parameter]) -> list[Tensor]:
    return [parameter.grad for parameter in group if parameter.grad is not None]
