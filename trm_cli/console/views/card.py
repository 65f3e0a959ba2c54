"""Write the card of a published model: what it is, how it was trained, what was measured, its limits and its data."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trm_cli.console.tables import counted, number
from trm_cli.console.views.runs.evaluation import interval, kind_figures, percent
from trm_cli.console.views.runs.plan import steps_of, values_of
from trm_cli.evaluation.protocol import protocol_line
from trm_cli.units import disk_size

if TYPE_CHECKING:
    from trm_cli.workflows.publish.facts import DataSource, ModelFacts

#: What cannot be expected of a network of each kind of puzzle.
_LIMITS = {
    "sudoku": "It reads boards of this size alone. Its answer is a guess that looks right to it: `trm solve` checks it "
    "by the rules, and tries the board in its symmetries where they do not hold.",
    "maze": "It was trained on mazes of one size. `trm solve` checks each answer: a way is right when no other is "
    "shorter.",
    "arc": "It knows the tasks that it was trained on; `trm adapt` learns new ones from their demonstrations. Accuracy "
    "on a public task set says little of a hidden one.",
    "text": "It is a small network that writes what sounds like its training text; what it writes is no knowledge.",
}
_OTHER_LIMITS = "It was trained on one kind of data, and is of no use on any other."
_WEIGHTS = {"ema": "the average of its weights over updates", "raw": "the weights of its last update"}


def model_card(facts: ModelFacts) -> str:
    """The text of README.md of a published model."""
    return "\n".join(
        [*_head(facts), *_use(facts), *_training(facts), *_measured(facts), *_limits(facts), *_data(facts)]
    )


def _head(facts: ModelFacts) -> Iterator[str]:
    arch, kind = facts.config.arch, facts.metadata.kind
    licence = [f"license: {facts.licence.lower()}"] if facts.licence else []
    tags = ["tiny-recursive-model", *([kind] if kind else [])]
    yield from ("---", "library_name: trm", *licence, f"tags: {json.dumps(tags)}", "---", "")
    yield from (f"# {facts.name.rpartition('/')[2]}", "")
    yield (
        f"A network of the architecture `{arch.name}` (family {arch.family}) with {facts.parameters:,} numbers, "
        f"trained as `{facts.config.model}` for {counted(facts.step, 'update')}. Published are "
        f"{_WEIGHTS[facts.weights]}, {disk_size(facts.bytes)} of safetensors with SHA-256 `{facts.sha256[:16]}...` "
        "(whole in `config.json`): no pickle, no state of an optimizer."
    )
    yield ""


def _use(facts: ModelFacts) -> Iterator[str]:
    writes = facts.metadata.kind == "text"
    call = 'generate("Once upon a time")' if writes else "solve(PUZZLE)"
    command = f"generate {facts.name} --prompt 'Once upon a time'" if writes else f"solve {facts.name} PUZZLE"
    yield from ("## Use", "", "```sh", f"trm {command}", "```", "", "```python", "import trm_cli as trm", "")
    yield from (f'print(trm.load("{facts.name}").{call})', "```", "")


def _training(facts: ModelFacts) -> Iterator[str]:
    config, plan = facts.config, facts.plan
    yield from ("## How it was trained", "")
    if plan is None:
        yield from ("The plan of its run is not known.", "")
        return
    yield (
        f"{counted(plan.total_steps, 'update')} of {plan.global_batch_size:,} rows "
        f"({number(float(plan.samples_per_epoch))} samples an epoch, {counted(plan.epochs, 'epoch')}), optimizer "
        f"{config.optimizer}, weight decay {number(config.weight_decay)}, seed {config.seed}. Published is update "
        f"{facts.step:,}. Made with trm {facts.trm}, torch {facts.torch}. `config.json` has every setting, `plan.json` "
        "the whole plan."
    )
    yield ""
    rows = [
        (quantity.name, segment.curve, steps_of(segment), values_of(segment), segment.written)
        for quantity in plan.quantities
        for segment in quantity.segments
    ]
    yield from _table(("quantity", "curve", "steps", "value", "written as"), rows)


def _measured(facts: ModelFacts) -> Iterator[str]:
    yield from ("## What was measured", "")
    if not facts.evaluations:
        yield from ("Nothing: `trm evaluate` was not run on these weights before they were published.", "")
        return
    rows = [
        (_data_set(document), protocol_line(document["protocol"]), *figure)
        for document in facts.evaluations
        for figure in _figures(document)
    ]
    yield from _table(("data", "protocol", "measure", "value", "95 % interval", "count"), rows)
    yield "Measured by `trm evaluate`; `evaluations.json` has all that it found."
    yield ""


def _figures(document: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Each number of an evaluation: measure, value, interval and count."""
    if kinds := document.get("by_kind"):
        for kind, value, note in kind_figures(kinds):
            yield kind, value, "", note
        return
    if "checked" in document:  # of which the first pass is an evaluation of its own
        yield _figure("valid by the rules", document["checked"]["curve"][-1]["valid"], "rows")
        return
    yield _figure("exact", document["exact"], "rows")
    yield _figure("token", document["token"], "rows")
    if "valid" in document:
        yield _figure("valid by the rules", document["valid"], "rows")
    for one in document.get("arc", {}).get("pass", ()):
        yield _figure(f"pass@{one['k']}", one, "tasks")


def _figure(name: str, share: Mapping[str, Any], noun: str) -> tuple[str, str, str, str]:
    hits = f"{share['hits']:,} of " if isinstance(share.get("hits"), int) else ""
    return name, percent(share["value"]), interval(share), f"{hits}{share['count']:,} {noun}"


def _data_set(document: Mapping[str, Any]) -> str:
    dataset, limit = document["dataset"], document["protocol"]["limit"]
    first = f", first {limit:,}" if limit else ""
    return f"{dataset['kind'] or 'rows'}, {dataset['split']}{first}, {dataset['fingerprint'][:8]}"


def _limits(facts: ModelFacts) -> Iterator[str]:
    yield from ("## Limits", "", _LIMITS.get(facts.metadata.kind or "", _OTHER_LIMITS), "")


def _data(facts: ModelFacts) -> Iterator[str]:
    metadata = facts.metadata
    yield from ("## Data and licence", "")
    yield (
        f"Weights: {facts.licence or 'no licence was stated'}. Trained on {counted(metadata.total_groups, 'puzzle')} "
        f"of kind {metadata.kind or 'unknown'} ({counted(metadata.seq_len, 'token')} a row), fingerprint "
        f"`{facts.fingerprint[:16]}`:"
    )
    yield ""
    yield from map(_source, facts.data)
    yield ""


def _source(one: DataSource) -> str:
    if not one.builder:
        return f"- `{one.path}`: not there when this was published, or made otherwise: its origin is not known."
    source, flags = (
        ", ".join(f"{key} {value}" for key, value in (found or {}).items() if value not in (None, False, [], ""))
        for found in (one.source, one.flags)
    )
    return f"- `{one.path}`: builder {one.builder} ({flags}); source: {source}; licence: {one.licence}."


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table in Markdown."""
    for row in (headers, ["---"] * len(headers), *rows):
        cells = [cell.replace("|", "\\|") for cell in row]
        yield f"| {' | '.join(cells)} |"
    yield ""
