"""The rows of a forecast: time, evaluations, disk, energy and price of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from trm_cli.units import disk_size, duration

if TYPE_CHECKING:
    from trm_cli.training.forecast.forecast import Forecast

#: Evaluations whose times are written out.
_SHOWN = 4
_JOULES_PER_WH = 3600.0


def forecast_table(forecast: Forecast) -> Table:
    """What a run will take, as rows below those of the machine and the memory."""
    table, span = Table.grid(padding=(0, 2)), forecast.duration
    again = f" from step {forecast.first_step:,} on" if forecast.first_step else ""
    table.add_row(
        "time", f"about {duration(span.likely)}{again} ({duration(span.low)} to {duration(span.high)}), "
        f"{_rate(forecast.updates_per_second)} updates a second"
    )  # fmt: skip
    table.add_row("", Text(forecast.source + _processor(forecast), style="dim"))
    if forecast.evaluations:
        table.add_row("", Text(_evaluations(forecast), style="dim"))
    table.add_row("disk", f"{disk_size(forecast.disk)} in up to {forecast.kept} checkpoints")
    if forecast.joules is not None:
        table.add_row("energy", f"about {energy(forecast.joules)} at {forecast.watts:,.0f} W, of the whole device")
    if forecast.price is not None:
        table.add_row("price", f"about {forecast.price:,.2f} at {forecast.price_per_hour:,.2f} an hour")
    return table


def energy(joules: float) -> str:
    """Joules in watt hours: 12.3 Wh, 4.56 kWh."""
    hours = joules / _JOULES_PER_WH
    return f"{hours / 1000:,.2f} kWh" if hours >= 1000 else f"{hours:,.1f} Wh"


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 20 else f"{value:.2g}"


def _processor(forecast: Forecast) -> str:
    used = forecast.processor_seconds
    return "" if used is None else f"; {duration(used)} of processor time"


def _evaluations(forecast: Forecast) -> str:
    one = forecast.evaluation.time.likely
    each = f"{forecast.evaluations:,} evaluations of about {f'{one:.1f} s' if one < 10 else duration(one)}"
    times = [duration(seconds) for _, seconds in forecast.evaluated_after]
    if not times:
        return each
    more = ", ..." if len(times) > _SHOWN else ""
    return f"{each}, done after {', '.join(times[:_SHOWN])}{more}"
