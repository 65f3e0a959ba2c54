"""The trials of a sweep: which settings each of them has, as a function of the file and the trial's number alone."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trm_cli.config.compose import Resolved, compose
from trm_cli.config.dump import override
from trm_cli.data.files.durable import write_atomically
from trm_cli.data.files.json_file import read_json
from trm_cli.errors import UsageError
from trm_cli.workflows.sweep.definition import Range, SweepFile
from trm_cli.workflows.train.jobs import Job
from trm_cli.workflows.train.seeds import train_command

#: What the directory of a sweep keeps of its file.
SEALED = "sweep.json"
_PREFIX = "trial-"


@dataclass(frozen=True)
class Trial:
    """One run of a sweep. settings: those that are searched."""

    number: int
    path: Path
    settings: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What its directory and its lines are called."""
        return self.path.name

    def resolved(self, sweep: SweepFile) -> Resolved:
        """Its configuration. Raises ConfigError."""
        shared = [override(key, value) for key, value in _flat(sweep.settings).items() if key not in self.settings]
        own = [override(key, value) for key, value in self.settings.items()]
        return compose(sweep.model, [*shared, *own, override("checkpoint_path", str(self.path))])

    def job(self, sweep: SweepFile) -> Job:
        """What trains it, or continues it."""
        command = [*train_command(self.resolved(sweep)), override("checkpoint_path", str(self.path))]
        return Job(self.name, self.path, command)


def trial_at(sweep: SweepFile, number: int, settings: Mapping[str, Any]) -> Trial:
    """The trial of a number, in the directory of its sweep."""
    return Trial(number, Path(sweep.checkpoint_path) / f"{_PREFIX}{number:03d}", settings)


def number_of(run: Path) -> int:
    """The number of the trial whose run directory this is."""
    return int(run.name.removeprefix(_PREFIX))


def planned_trials(sweep: SweepFile) -> list[Trial]:
    """All trials of a grid or a random search. Of Optuna, which chooses as it goes, some that stand for them."""
    if sweep.method == "grid":
        lists = [value for value in sweep.search.values() if isinstance(value, tuple)]
        found = [dict(zip(sweep.search, values, strict=True)) for values in itertools.product(*lists)]
    else:
        found = [_drawn(sweep, number) for number in range(sweep.trials or 0)]
    return [trial_at(sweep, number, settings) for number, settings in enumerate(found)]


def check_trials(sweep: SweepFile) -> None:
    """Compose every trial before the first begins. Raises ConfigError."""
    for trial in planned_trials(sweep):
        trial.resolved(sweep)


def seal(sweep: SweepFile) -> None:
    """Keep the sweep in its directory. Raises UsageError where another one is there; only `trials` may grow."""
    path = Path(sweep.checkpoint_path) / SEALED
    document = json.loads(json.dumps(asdict(sweep)))
    if path.exists():
        before = read_json(path, error=UsageError)
        changed = [name for name in document if document[name] != before.get(name)]
        grows = changed == ["trials"] and before["trials"] < document["trials"]
        if changed and not grows:
            raise UsageError(
                f"{path.parent} holds a sweep with another {', '.join(changed)}",
                hint="choose another checkpoint_path in the file, or delete that directory",
            )
    write_atomically(path, (json.dumps(document, indent=1) + "\n").encode())


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings with dotted keys: `arch: {hidden_size: 64}` is `arch.hidden_size`."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def _drawn(sweep: SweepFile, number: int) -> dict[str, Any]:
    return {key: _draw(value, random.Random(f"{sweep.seed}/{number}/{key}")) for key, value in sweep.search.items()}


def _draw(value: tuple[Any, ...] | Range, source: random.Random) -> Any:
    if not isinstance(value, Range):
        return source.choice(value)
    low, high = (math.log(value.low), math.log(value.high)) if value.log else (value.low, value.high)
    found = source.uniform(low, high)
    found = math.exp(found) if value.log else found
    return round(found) if value.whole else float(f"{found:.6g}")
