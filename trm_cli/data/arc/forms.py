"""Find the ARC tasks in a JSON document, in the forms in which they are published. Standard library only."""

from __future__ import annotations

from typing import Any

_WRAPPERS = ("task", "tasks", "data")
_NAMES = ("id", "task_id", "name", "task")


def task_records(document: Any, name: str) -> dict[str, Any]:
    """Return the tasks of a document by name; what is none of these forms comes back as the one task `name`.

    A task {"train", "test"}, also under a key such as "task"; an object of tasks by name; a list of tasks, with an
    "id" or numbered; or a list of pairs (re-arc), which no one has divided: the last one is asked.
    """
    if isinstance(document, list) and document:
        if all(map(is_task, document)):
            return {_name_of(record, f"{name}-{number}"): record for number, record in enumerate(document, start=1)}
        if all(isinstance(pair, dict) and "input" in pair for pair in document):
            return {name: {"train": document[:-1], "test": document[-1:]}}
    if isinstance(document, dict) and not is_task(document):
        if len(document) == 1 and (key := next(iter(document))) in _WRAPPERS and _holds_tasks(document[key]):
            return task_records(document[key], name)
        if document and all(map(is_task, document.values())):
            return document
    return {name: document}


def is_task(record: Any) -> bool:
    """Whether a record has the parts of a task."""
    return isinstance(record, dict) and "train" in record and "test" in record


def _holds_tasks(document: Any) -> bool:
    if isinstance(document, dict):
        return is_task(document) or any(map(is_task, document.values()))
    return isinstance(document, list) and any(map(is_task, document))


def _name_of(record: dict[str, Any], otherwise: str) -> str:
    return next((str(record[key]) for key in _NAMES if isinstance(record.get(key), str | int)), otherwise)
