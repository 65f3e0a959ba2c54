"""The one list of everything that changes over training.

The table, the plots, the JSON and the numbers that the training loop uses are all read from here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from trm_cli.schedule.curves import Quantity, Segment
from trm_cli.schedule.settings import Annealed, ScheduleSettings
from trm_cli.schedule.steps import Number, as_written, boundary


def _end_of(
    total: int, ratio_key: str, ratio: Number | None, steps_key: str, steps: int | None
) -> tuple[int, str, str]:
    """The step at which a phase ends, how that is written, and the key that decides it."""
    if ratio is not None and steps is not None:
        raise ValueError(f"{ratio_key} and {steps_key} say the same thing twice; give only one of them.")
    if steps is not None:
        if steps < 0:
            raise ValueError(f"{steps_key} is {steps}; it must not be negative.")
        return steps, f"{steps_key} {steps}", steps_key
    if ratio is None:
        raise ValueError(f"{ratio_key} is missing; give a share of the run from 0 to 1.")
    if not 0 <= as_written(ratio) <= 1:
        raise ValueError(f"{ratio_key} is {ratio}; it must be a share of the run from 0 to 1.")
    return boundary(total, ratio), f"{ratio_key} {ratio}", ratio_key


def _learning_rate(base: float, config: Annealed, total: int) -> tuple[Segment, ...]:
    """0 -> base, linear, until the warm-up ends; then base -> base * lr_min_ratio, cosine, until the last step.

    The published rule of TRM: base * (r + (1 - r) * (1 + cos(pi * p)) / 2) with r = lr_min_ratio. Without steps left
    after the warm-up there is nothing to decay over, and the rate stays at what the warm-up reached.
    """
    end, written, key = _end_of(
        total, "lr_warmup_ratio", config.lr_warmup_ratio, "lr_warmup_steps", config.lr_warmup_steps
    )
    warmup = Segment("linear", 0.0, base, 0, end, written, key)
    if end >= total:
        return (warmup,)
    floor = base * config.lr_min_ratio
    return warmup, Segment("cosine", base, floor, end, total, f"lr_min_ratio {config.lr_min_ratio}", "lr_min_ratio")


def _anneal(curve: str, start: float, end: float, last: tuple[int, str, str]) -> tuple[Segment, ...]:
    step, written, key = last
    return (Segment(curve, start, start if curve == "constant" else end, 0, step, written, key),)


def _lr(config: Annealed, total: int) -> tuple[Segment, ...]:
    return _learning_rate(config.lr, config, total)


def _puzzle_emb_lr(config: Annealed, total: int) -> tuple[Segment, ...]:
    return _learning_rate(config.puzzle_emb_lr, config, total)


def _expansion_penalty(config: Annealed, total: int) -> tuple[Segment, ...]:
    return _anneal(
        config.expansion_penalty_schedule,
        config.expansion_penalty_start,
        config.expansion_penalty_end,
        _end_of(
            total,
            "expansion_anneal_ratio",
            config.expansion_anneal_ratio,
            "expansion_anneal_steps",
            config.expansion_anneal_steps,
        ),
    )


def _q_temperature(config: Annealed, total: int) -> tuple[Segment, ...]:
    return _anneal(
        config.q_temperature_schedule,
        config.q_temperature_start,
        config.q_temperature_end,
        _end_of(
            total,
            "q_temperature_anneal_ratio",
            config.q_temperature_anneal_ratio,
            "q_temperature_anneal_steps",
            config.q_temperature_anneal_steps,
        ),
    )


def _epsilon(config: Annealed, total: int) -> tuple[Segment, ...]:
    last = _end_of(total, "epsilon_anneal_ratio", config.epsilon_anneal_ratio, "epsilon_anneal_steps", None)
    return _anneal("linear", config.epsilon_start, config.epsilon_end, last)


def _dqn_warmup(config: Annealed, total: int) -> tuple[Segment, ...]:
    last = _end_of(total, "dqn_warmup_ratio", config.dqn_warmup_ratio, "dqn_warmup_steps", config.dqn_warmup_steps)
    return _anneal("linear", 0.0, 1.0, last)


_DECLARATIONS: Mapping[str, tuple[str, Callable[[Annealed, int], tuple[Segment, ...]]]] = {
    "lr": ("per update", _lr),
    "puzzle_emb_lr": ("per update", _puzzle_emb_lr),
    "expansion_penalty": ("reward", _expansion_penalty),
    "q_temperature": ("", _q_temperature),
    "epsilon": ("share of actions", _epsilon),
    "dqn_warmup": ("progress", _dqn_warmup),
}
QUANTITIES = tuple(_DECLARATIONS)


def declare_one(name: str, config: Annealed, total_steps: int) -> Quantity:
    """One annealed quantity of a run of `total_steps`; ValueError when the name or a setting is unknown."""
    if name not in _DECLARATIONS:
        raise ValueError(f"{name!r} is not an annealed quantity; known are {', '.join(QUANTITIES)}.")
    unit, segments = _DECLARATIONS[name]
    return Quantity(name, segments(config, total_steps), unit)


def declare(config: ScheduleSettings, total_steps: int) -> tuple[Quantity, ...]:
    """Every quantity that the architecture reads, in the order of the list above."""
    unknown = [name for name in config.arch.scheduled if name not in _DECLARATIONS]
    if unknown:
        declare_one(unknown[0], config, total_steps)
    return tuple(declare_one(name, config, total_steps) for name in QUANTITIES if name in config.arch.scheduled)
