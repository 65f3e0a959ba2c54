"""Compute single scheduled values at a global step, from their declarations in `clock`."""

from __future__ import annotations

from typing import Any

from trm_cli.schedule.clock import declare_one


def compute_expansion_penalty(current_step: int, total_steps: int, config: Any) -> float:
    """Compute the cost of an EXPAND action at a global step."""
    return declare_one("expansion_penalty", config, total_steps).at(current_step)


def compute_q_temperature(current_step: int, total_steps: int, config: Any) -> float:
    """Compute the temperature of Boltzmann sampling from Q values at a global step."""
    return declare_one("q_temperature", config, total_steps).at(current_step)


def compute_warmup_progress(current_step: int, total_steps: int, config: Any) -> float:
    """Compute the progress of the DQN warm-up, 0 to 1, from the global step alone."""
    return declare_one("dqn_warmup", config, total_steps).at(current_step)
