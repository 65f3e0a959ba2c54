"""Count the parameters and floating-point operations of a network by component, from its configuration alone.

Arithmetic counts multiplications and additions of the matrix products (2 per weight and token) and of attention; a pass
with a gradient costs three times a pass without. It is what decides how many steps a machine can afford.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from trm_cli.models.hesc.config import HescConfig
from trm_cli.models.hesc.encoder import CELL_FEATURES
from trm_cli.models.hesc.vocabulary import TEXT_PLACES
from trm_cli.models.layers.gated_mlp import swiglu_width

COMPONENTS = (
    "encoder",
    "capsules",
    "reconstruction",
    "core",
    "planner",
    "decoder",
    "mtp",
    "vq",
    "memory",
    "halting",
    "puzzle",
)
"""They partition the parameters; gradients are clipped component by component."""

_COMPONENT_OF = {
    "network.encoder": "encoder",
    "network.capsules": "capsules",
    "network.pixel_head": "reconstruction",
    "network.working_set": "core",
    "network.recursion": "core",
    "network.planner": "planner",
    "network.decoder": "decoder",
    "network.mtp": "mtp",
    "network.concepts": "vq",
    "network.memory": "memory",
    "network.halt_head": "halting",
    "q_network": "halting",
    "puzzle_embedding": "puzzle",
}


def component_of(name: str) -> str:
    """The component of a parameter of MultimodalHesc. Raises ValueError for a name that belongs to none."""
    for prefix, component in _COMPONENT_OF.items():
        if name.startswith(prefix + "."):
            return component
    raise ValueError(f"The parameter {name} belongs to no component.")


def clipping_groups(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """Component -> its parameters; every parameter is in exactly one group."""
    groups: dict[str, list[nn.Parameter]] = {component: [] for component in COMPONENTS}
    for name, parameter in model.named_parameters():
        groups[component_of(name)].append(parameter)
    return {component: group for component, group in groups.items() if group}


def parameter_counts(model: nn.Module) -> dict[str, int]:
    """Component -> number of parameters, without those that the model does not have."""
    return {name: sum(parameter.numel() for parameter in group) for name, group in clipping_groups(model).items()}


@dataclass(frozen=True)
class Arithmetic:
    """Floating-point operations of one supervision step of one row, by component: forward alone, and with backward."""

    forward: dict[str, int]
    training: dict[str, int]


def arithmetic(config: HescConfig, vocab_size: int, target_length: int) -> Arithmetic:
    """Count one step of one row whose target has `target_length` tokens."""
    width, patches, slots = config.hidden_size, config.geometry.patches, config.num_slots
    mlp = 3 * width * swiglu_width(width, config.expansion)
    capsules = config.num_capsules + config.num_children
    cells_of_patch = (config.patch_size // config.cell_size) ** 2

    def block(length: int) -> int:
        return 2 * length * (4 * width * width + mlp) + 4 * length * length * width

    def cross(queries: int, context: int) -> int:
        return 4 * width * width * (queries + context) + 4 * queries * context * width

    forward = {
        "encoder": 2 * patches * CELL_FEATURES * (config.geometry.patch_pixels + cells_of_patch * width)
        + config.encoder_cycles * config.encoder_layers * block(patches),
        "capsules": cross(capsules, patches),
    }
    cycle = (config.L_cycles + 1) * config.L_layers * block(slots)
    if config.enable_reconstruction:
        per_reading = 2 * patches * width * config.geometry.patch_pixels + 4 * patches * capsules * width
        forward["reconstruction"] = per_reading * (2 if config.enable_expansion else 1)
    if config.enable_latent_planning:
        tokens = config.latent_planning_paths * config.latent_planning_depth
        think = config.latent_planning_layers * (2 * tokens * (4 * width * width + mlp) + 4 * slots * width * width)
        forward["planner"] = think + 4 * config.latent_planning_paths * width * width + 2 * slots * width * width
    forward["decoder"] = 2 * target_length * vocab_size * width + config.decoder_layers * (
        block(target_length) + cross(target_length, slots) + 2 * target_length * width * width
    )
    if config.enable_mtp:
        ahead = min(target_length, TEXT_PLACES)
        depth = block(ahead) + 2 * ahead * width * (width + vocab_size)
        forward["mtp"] = (config.mtp_num_depths - 1) * depth
    training = {name: 3 * operations for name, operations in forward.items()}
    forward["core"] = config.H_cycles * cycle
    training["core"] = (config.H_cycles - 1) * cycle + 3 * cycle
    return Arithmetic(forward, training)
