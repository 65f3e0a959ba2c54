"""The passes of an evaluation over a row: each is a view of the puzzle, thought about from one start."""

from __future__ import annotations

from typing import NamedTuple

from trm_cli.evaluation.protocol import Protocol


class Pass(NamedTuple):
    """view: number of the view of the puzzle, 0 the puzzle itself. restart: number of the start, 0 the trained one."""

    view: int
    restart: int


def planned(protocol: Protocol) -> list[Pass]:
    """The passes over each row, the puzzle itself from the trained start first."""
    return [Pass(view, restart) for restart in range(protocol.restarts) for view in range(protocol.views)]


def later(number: int, views: int) -> Pass:
    """Pass `number`, from 0, of those that are made until a puzzle is solved: all views, then all from other starts."""
    restart, view = divmod(number, views)
    return Pass(view, restart)
