"""The labels of pictures, with their probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from trm_cli.console.answers.steps import about_model
from trm_cli.console.tables import table

if TYPE_CHECKING:
    from trm_cli.workflows.classify import Classification


def labels_screen(found: Classification) -> Table:
    """Show each picture with its likeliest labels."""
    rows = [
        (one.picture if place == 0 else "", label, f"{100 * share:.1f} %")
        for one in found.pictures
        for place, (label, share) in enumerate(one.labels)
    ]
    return table("picture", "label", "probability", right=(2,), rows=rows)


def labels_document(found: Classification) -> dict[str, Any]:
    """Describe the labels as plain data."""
    pictures = [
        {"picture": one.picture, "labels": [{"label": label, "probability": share} for label, share in one.labels]}
        for one in found.pictures
    ]
    return {**about_model(found.checkpoint, found.step), "pictures": pictures}
