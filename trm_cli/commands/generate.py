"""`trm generate`: text that a trained model writes, as it is written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trm_cli.commands.arguments import Device


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("generate")(generate)


def generate(
    run: Annotated[str, typer.Argument(help="A run directory, its name in checkpoints/, or a checkpoint file.")],
    prompt: Annotated[str, typer.Option(help="The text that is continued; empty: a document from its beginning.")] = "",
    max_new: Annotated[int, typer.Option(min=1, max=1_000_000, help="At most this many tokens.", metavar="N")] = 256,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 takes the likeliest token.", metavar="T")] = 0.7,
    top_k: Annotated[int | None, typer.Option(min=1, help="Only the K likeliest tokens.", metavar="K")] = None,
    seed: Annotated[int, typer.Option(help="The same seed writes the same text.", metavar="S")] = 0,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Supervision steps a token (models of tokens); default: as trained.")
    ] = None,
    tokenizer: Annotated[
        Path | None, typer.Option(help="The tokenizer of a run on tokens.", metavar="FILE.json")
    ] = None,
    device: Device = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Write text: after the prompt, until the model ends its document or --max-new tokens are written.

    [dim]Example: trm generate checkpoints/stories --prompt "Once upon a time" --temperature 0.8[/dim]
    """
    from trm_cli.console.output import print_json, write_piece
    from trm_cli.training.devices import prepare_threads

    prepare_threads()
    import torch

    from trm_cli.data.text_codec import shown, text_codec
    from trm_cli.data.vocabulary import EOS
    from trm_cli.errors import UsageError
    from trm_cli.evaluation.writing import Wish, write
    from trm_cli.models.sampling import Sampling
    from trm_cli.training.devices import choose_device
    from trm_cli.training.inference import load_trained

    where = torch.device(choose_device(device or "auto").value)
    trained = load_trained(run, where)
    codec = text_codec(trained.metadata, tokenizer)
    wish = Wish(codec.encode(prompt), max_new, Sampling(temperature, top_k), seed)
    tokens: list[int] = []
    pieces: list[str] = []
    if not as_json:
        write_piece(shown(prompt))
    try:
        for token in write(trained.model, codec.labels, wish, where, steps):  # type: ignore[arg-type]
            tokens.append(token)
            if token != EOS:
                pieces.append(codec.piece(token))
                if not as_json:
                    write_piece(shown(pieces[-1]))
    except ValueError as error:
        raise UsageError(str(error), hint="text is written by networks with `causal: true`") from error
    if not as_json:
        write_piece("\n")
        return
    print_json({
        "schema_version": 1,
        "checkpoint": str(trained.checkpoint),
        "trained_steps": trained.step,
        "prompt": prompt,
        "text": "".join(pieces),
        "tokens": tokens,
        "ended": tokens[-1:] == [EOS],
        "temperature": temperature,
        "top_k": top_k,
        "seed": seed,
    })  # fmt: skip
