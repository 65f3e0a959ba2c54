"""Declare the forms of a schedule (warm-up and decay, anneal, stages, switch) by their configuration keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from operator import attrgetter
from typing import Any

from trm_cli.schedule.curves import Segment
from trm_cli.schedule.steps import as_written, boundary

#: Distinct numbers of a value that changes in stages.
STAGES = 4
#: (configuration, total steps) -> the segments of a value. A configuration is any object with the keys as attributes;
#: a key of the architecture is written as on the command line, `arch.NAME`.
Declaration = Callable[[Any, int], tuple[Segment, ...]]


def warm_up_and_decay(base: str) -> Declaration:
    """Declare a learning rate with warm-up and decay. base: the key of its highest value.

    0 -> base, linear, until the warm-up ends; then base -> base * lr_min_ratio, cosine, until the last step: the
    published rule of TRM, base * (r + (1 - r) * (1 + cos(pi * p)) / 2) with r = lr_min_ratio. Without steps left after
    the warm-up there is nothing to decay over, and the rate stays at what the warm-up reached.
    """

    def segments(config: Any, total: int) -> tuple[Segment, ...]:
        peak = _value(config, base)
        end, written, key = _end_of(config, total, "lr_warmup_ratio", "lr_warmup_steps")
        warmup = Segment("linear", 0.0, peak, 0, end, written, key)
        if end >= total:
            return (warmup,)
        floor = peak * config.lr_min_ratio
        return warmup, Segment("cosine", peak, floor, end, total, f"lr_min_ratio {config.lr_min_ratio}", "lr_min_ratio")

    return segments


def anneal(
    *, start: str | float, end: str | float, ratio: str, steps: str | None = None, curve: str | None = None
) -> Declaration:
    """Declare one curve from `start` to `end` (keys or numbers), over the share `ratio` of the run.

    ratio: a key, and steps its older form in steps: exactly one of both holds a number. curve: the key of its name;
    linear without one.
    """

    def segments(config: Any, total: int) -> tuple[Segment, ...]:
        name = "linear" if curve is None else _value(config, curve)
        first, last = (_value(config, one) if isinstance(one, str) else one for one in (start, end))
        step, written, key = _end_of(config, total, ratio, steps)
        return (Segment(name, first, first if name == "constant" else last, 0, step, written, key),)

    return segments


def stages(name: str, start: str) -> Declaration:
    """Declare a depth of the architecture, a whole number, that goes from `start` to `name` (keys of `arch`) in at most
    `STAGES` equal stages; 0 for `start`: it is constant.

    The last stage begins at the share `depth_anneal_ratio` of the run: all depths change at the same steps.
    """

    def segments(config: Any, total: int) -> tuple[Segment, ...]:
        first, last, ratio = getattr(config.arch, start), getattr(config.arch, name), config.arch.depth_anneal_ratio
        parts = [Fraction(stage, STAGES - 1) for stage in range(STAGES)]
        depths = [round(first + (last - first) * part) if first else last for part in parts]
        begins = [boundary(total, as_written(ratio) * part) for part in parts]
        found: list[Segment] = []
        for depth, begin, end in zip(depths, begins, (*begins[1:], total), strict=True):
            if found and found[-1].start_value == depth:
                found[-1] = replace(found[-1], end_step=end)
            else:
                found.append(Segment("constant", depth, depth, begin, end, f"{start} {first}", f"arch.{start}"))
        return tuple(found)

    return segments


def switch(ratio: str) -> Declaration:
    """Declare what is 0 at first and 1 from the share `ratio` (a key) of the run on."""

    def segments(config: Any, total: int) -> tuple[Segment, ...]:
        step, written, key = _end_of(config, total, ratio, None)
        return Segment("constant", 0.0, 0.0, 0, step, written, key), Segment("constant", 1.0, 1.0, step, total)

    return segments


def _value(config: Any, key: str) -> Any:
    return attrgetter(key)(config)


def _end_of(config: Any, total: int, ratio_key: str, steps_key: str | None) -> tuple[int, str, str]:
    """Return the step at which a phase ends, how the configuration writes it, and the key that decides it."""
    ratio, steps = _value(config, ratio_key), None if steps_key is None else _value(config, steps_key)
    if ratio is not None and steps is not None:
        raise ValueError(f"{ratio_key} and {steps_key} say the same thing twice; give only one of them.")
    if steps_key is not None and steps is not None:
        if steps < 0:
            raise ValueError(f"{steps_key} is {steps}; it must not be negative.")
        return steps, f"{steps_key} {steps}", steps_key
    if ratio is None:
        raise ValueError(f"{ratio_key} is missing; give a share of the run from 0 to 1.")
    if not 0 <= as_written(ratio) <= 1:
        raise ValueError(f"{ratio_key} is {ratio}; it must be a share of the run from 0 to 1.")
    return boundary(total, ratio), f"{ratio_key} {ratio}", ratio_key
