"""The parts of the network by name: they partition its parameters, are clipped one by one, and share its arithmetic."""

from __future__ import annotations

from torch import nn

from trm_cli.models.cost import PUZZLE_TABLE, Component, Measured

#: Prefix of a parameter's name -> component, in the order in which a row goes through them.
_PREFIXES = {
    "network.symbols": "symbols",
    "network.pair_reader": "demonstrations",
    "network.recursion.workspace": "workspace",
    "network.recursion.planner": "planner",
    "network.recursion.to_tokens": "tokens",
    "network.recursion.board": "tokens",
    "network.recursion.text": "text",
    "network.mtp": "mtp",
    "network.to_class": "answers",
    "network.halt_head": "answers",
    "q_network": "answers",
    "puzzle_embedding": PUZZLE_TABLE,
}
#: Run in every cycle, of which only the last has a gradient.
_RECURSIVE = ("workspace", "planner", "tokens", "text")


def component_of(name: str) -> str:
    """The component of a parameter. Raises ValueError for a name that belongs to none."""
    for prefix, component in _PREFIXES.items():
        if name.startswith(prefix + "."):
            return component
    raise ValueError(f"The parameter {name} belongs to no component.")


def parameter_groups(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """Component -> its parameters, of which every one is in exactly one; components without any are left out."""
    found: dict[str, list[nn.Parameter]] = {component: [] for component in _PREFIXES.values()}
    for name, parameter in model.named_parameters():
        found[component_of(name)].append(parameter)
    return {component: group for component, group in found.items() if group}


def shares(model: nn.Module, measured: Measured, rows: int, cycles: int) -> list[Component]:
    """Parameters and arithmetic of each component, of an update of `rows` rows; cycles: `H_cycles`.

    A pass with a gradient costs three times one without.
    """
    forward = dict.fromkeys(_PREFIXES.values(), 0)
    for prefix, component in _PREFIXES.items():
        forward[component] += measured.modules.get(prefix, 0) // rows
    forward["answers"] += max(0, measured.forward // rows - sum(forward.values()))
    return [
        Component(
            name,
            sum(parameter.numel() for parameter in group),
            forward[name],
            forward[name] + 2 * forward[name] // (cycles if name in _RECURSIVE else 1),
        )
        for name, group in parameter_groups(model).items()
    ]
