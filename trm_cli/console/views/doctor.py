"""What the doctor found, and what it advises."""

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
    """One line a finding, then what to do."""
    rows = table("this machine", "has", "which means")
    rows.columns[0].no_wrap = True
    for finding in findings:
        style = "" if finding.good else "bold red"
        rows.add_row(Text(finding.name, style), Text(finding.found, style), Text(finding.means, "dim"))
    settings = (
        f"device={advice.device} precision={advice.precision} compile={'true' if advice.compile == 'on' else 'false'}"
    )
    batch = "" if advice.batch is None else f" global_batch_size={advice.batch}"
    best = facts()
    best.add_row("so", Text(f"trm train {advice.model}{batch}", "bold"))
    best.add_row("", Text(advice.reason, "dim"))
    best.add_row("chosen", Text(f"{settings} (selected automatically)"))
    return Group(rows, Text(), best)


def doctor_document(findings: Sequence[Finding], advice: Advice) -> dict[str, Any]:
    """The same as plain data."""
    return {
        "good": all(finding.good for finding in findings),
        "findings": [asdict(finding) for finding in findings],
        "advice": asdict(advice),
    }
