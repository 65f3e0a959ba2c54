"""Hold the cost of a network by component: parameters and floating-point operations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PUZZLE_TABLE = "puzzle table"


@dataclass(frozen=True)
class Measured:
    """forward and update: floating-point operations of the matrix products of one update, without and with the backward
    pass. modules: those of the forward pass by name of a module."""

    forward: int
    update: int
    modules: Mapping[str, int]


@dataclass(frozen=True)
class Component:
    """A part of a network. forward, training: floating-point operations for one row in one update."""

    name: str
    parameters: int
    forward: int
    training: int
