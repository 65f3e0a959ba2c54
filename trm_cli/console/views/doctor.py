"""Show what `trm doctor` found, and what it recommends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.text import Text

from trm_cli.console.tables import facts, table

if TYPE_CHECKING:
    from trm_cli.workflows.doctor import Advice, Finding


def doctor_screen(findings: Sequence[Finding], advice: Advice) -> Group:
    """Show one line for each finding, then the recommended command."""
    styles = ["" if finding.good else "bold red" for finding in findings]
    shown = [
        (Text(finding.name, style), Text(finding.found, style), Text(finding.means, "dim"))
        for finding, style in zip(findings, styles, strict=True)
    ]
    machine = table("this machine", "has", "which means", rows=shown)
    machine.columns[0].no_wrap = True
    compiled = "true" if advice.compile == "on" else "false"
    settings = f"device={advice.device} precision={advice.precision} compile={compiled} (selected automatically)"
    batch = "" if advice.batch is None else f" global_batch_size={advice.batch}"
    train = Text(f"trm train {advice.model}{batch}", "bold")
    return Group(machine, Text(), facts([("train", train), ("", Text(advice.reason, "dim")), ("settings", settings)]))


def doctor_document(findings: Sequence[Finding], advice: Advice) -> dict[str, Any]:
    """Describe the findings and the recommendation as plain data."""
    return {
        "good": all(finding.good for finding in findings),
        "findings": [asdict(finding) for finding in findings],
        "advice": asdict(advice),
    }
