"""`trm generate`: generate text with a trained model, printed token by token."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from trm_cli.commands.options.arguments import Device, Json, TrainedRun, finite, share

Prompt = Annotated[str, typer.Option(help="The text that is continued; empty: a document from its beginning.")]
MaxNew = Annotated[int, typer.Option(min=1, max=1_000_000, help="At most this many tokens.", metavar="N")]
Temperature = Annotated[float, typer.Option(min=0.0, callback=finite, help="0 takes the likeliest token.", metavar="T")]
TopP = Annotated[
    float | None,
    typer.Option(
        callback=share,
        help="Nucleus sampling: only the most likely tokens whose probabilities add up to P.",
        metavar="P",
    ),
]
Stop = Annotated[list[str] | None, typer.Option(help="Stop before this text; may be given again.", metavar="TEXT")]
TopK = Annotated[int | None, typer.Option(min=1, help="Only the K likeliest tokens.", metavar="K")]
Seed = Annotated[int, typer.Option(help="The same seed writes the same text.", metavar="S")]
Steps = Annotated[
    int | None, typer.Option(min=1, help="Supervision steps a token (models of tokens); default: as trained.")
]
Tokenizer = Annotated[Path | None, typer.Option(help="The tokenizer of a run on tokens.", metavar="FILE.json")]


def generate(
    run: TrainedRun,
    prompt: Prompt = "",
    max_new: MaxNew = 256,
    temperature: Temperature = 0.7,
    top_k: TopK = None,
    top_p: TopP = None,
    stop: Stop = None,
    seed: Seed = 0,
    steps: Steps = None,
    tokenizer: Tokenizer = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Generate text after a prompt, until the model ends its document, --stop or --max-new tokens.

    [dim]Example: trm generate checkpoints/stories --prompt "Once upon a time" --temperature 0.8[/dim]
    """
    from trm_cli.commands.options.arguments import expect_run, suggest_evaluation

    expect_run(run, device)
    from trm_cli.console.answers.steps import about_model
    from trm_cli.console.output import note, print_json, write_piece
    from trm_cli.console.tables import counted
    from trm_cli.units import duration
    from trm_cli.workflows import generate as writing

    request = writing.GenerateRequest(
        run=run, prompt=prompt, max_new=max_new, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed,
        stop=tuple(stop or ()), steps=steps, tokenizer=tokenizer, device=device or "auto",
    )  # fmt: skip
    if not as_json:
        started = time.monotonic()
        made = writing.generate(request, write_piece, notify=note)
        write_piece("\n")
        note(f"{counted(len(made.tokens), 'token')} in {duration(time.monotonic() - started)}")
        suggest_evaluation(run)
        return
    made = writing.generate(request, notify=note)
    said = {"prompt": prompt, "text": made.text, "tokens": made.tokens, "ended": made.ended}
    said["stopped_at"] = made.stopped_at
    sampling = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
    print_json({**about_model(made.checkpoint, made.step), **said, **sampling})
