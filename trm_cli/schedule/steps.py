"""Compute optimizer steps from dataset counts, in exact rational arithmetic.

Two rules turn samples into steps, and published recipes use both:

* `per_epoch`: every epoch drops its last partial batch; total = floor(samples / batch) * epochs.
* `whole_run`: epochs are packed without a gap; total = floor(samples * epochs / batch), the count of the published
  TRM runs.

Both give at least one step an epoch and a run respectively, so a batch larger than the dataset still trains.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Literal

Rounding = Literal["per_epoch", "whole_run"]
Number = int | float | Decimal | str | Fraction
ROUNDINGS: tuple[Rounding, ...] = ("per_epoch", "whole_run")

# A mean is a quotient of two counts. Below this denominator at most one quotient reads as a given double (for means
# up to some thousands), so the quotient that was meant can be recovered from the number that was written.
_LARGEST_COUNT = 1_000_000
_LARGEST_EXPONENT = 400  # a little more than a double has
_MOST_SAMPLES = 10**18


def require_positive(name: str, value: int) -> None:
    """Raise ValueError, naming the setting, unless it is at least 1."""
    if value < 1:
        raise ValueError(f"{name} is {value}; it must be at least 1.")


def as_written(value: Number) -> Fraction:
    """Read a number as the decimal that a person sees: 0.29 is 29/100, not the double nearest to it.

    Raises ValueError for anything that is not a finite number.
    """
    if isinstance(value, Fraction | int):
        return Fraction(value)
    text = str(value)
    try:
        # Before it is written out: 1e999999999 would be a number of a billion digits.
        if "/" not in text and abs(Decimal(text).adjusted()) > _LARGEST_EXPONENT:
            raise ValueError
        return Fraction(text)
    except (ValueError, ArithmeticError):
        raise ValueError(f"{value!r} is not a finite number.") from None


def boundary(total: int, ratio: Number) -> int:
    """Compute floor(total * ratio) exactly: 0.29 of 100 is 29, where binary floats give 28."""
    share = as_written(ratio)
    return total * share.numerator // share.denominator


def mean_as_quotient(mean: Number) -> Fraction:
    """Recover the quotient of counts behind a mean that went through a double: 4.154166666666667 is 997/240."""
    exact = as_written(mean)
    quotient = exact.limit_denominator(_LARGEST_COUNT)
    try:
        return quotient if float(quotient) == float(exact) else exact
    except OverflowError:  # larger than any double: nothing was lost on the way
        return exact


def samples_per_epoch(total_groups: int, mean_puzzle_examples: Number) -> Fraction:
    """Compute total_groups * mean_puzzle_examples: one puzzle of every group, with its mean number of examples."""
    samples = total_groups * mean_as_quotient(mean_puzzle_examples)
    if samples <= 0:
        raise ValueError(
            f"A dataset of {total_groups} groups with {mean_puzzle_examples} examples each has nothing to train on."
        )
    if samples > _MOST_SAMPLES:
        raise ValueError(f"A dataset of {total_groups} groups with {mean_puzzle_examples} examples each cannot exist.")
    return samples


def steps_per_epoch(samples: Fraction | int, batch: int) -> int:
    """Count the whole batches in one epoch, at least one."""
    require_positive("global_batch_size", batch)
    return max(1, int(samples // batch))


def total_steps(samples: Fraction | int, batch: int, epochs: int, rounding: Rounding) -> int:
    """Count the optimizer steps of the run under one of the two rules, at least one."""
    require_positive("epochs", epochs)
    return max(1, step_of_epoch(epochs, samples, batch, rounding))


def step_of_epoch(epoch: int, samples: Fraction | int, batch: int, rounding: Rounding) -> int:
    """Return the last global step of the first `epoch` epochs; 0 for epoch 0."""
    if rounding == "per_epoch":
        return steps_per_epoch(samples, batch) * epoch
    if rounding == "whole_run":
        require_positive("global_batch_size", batch)
        return int(Fraction(samples) * epoch // batch)
    raise ValueError(f"step_rounding is {rounding!r}; it must be one of {', '.join(ROUNDINGS)}.")


def epoch_of_step(step: int, samples: Fraction | int, batch: int, rounding: Rounding) -> int:
    """Return the epoch, counted from 0, of the first sample of update `step` (1, 2, ...)."""
    require_positive("step", step)
    if rounding == "per_epoch":
        return (step - 1) // steps_per_epoch(samples, batch)
    return int((step - 1) * batch // Fraction(samples))
