"""`trm generate`: text that a trained model writes, as it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trm_cli.commands.arguments import Device, Json, TrainedRun

if TYPE_CHECKING:
    from trm_cli.data.text.codec import TextCodec

Prompt = Annotated[str, typer.Option(help="The text that is continued; empty: a document from its beginning.")]
MaxNew = Annotated[int, typer.Option(min=1, max=1_000_000, help="At most this many tokens.", metavar="N")]
Temperature = Annotated[float, typer.Option(min=0.0, help="0 takes the likeliest token.", metavar="T")]
TopK = Annotated[int | None, typer.Option(min=1, help="Only the K likeliest tokens.", metavar="K")]
Seed = Annotated[int, typer.Option(help="The same seed writes the same text.", metavar="S")]
Steps = Annotated[
    int | None, typer.Option(min=1, help="Supervision steps a token (models of tokens); default: as trained.")
]
Tokenizer = Annotated[Path | None, typer.Option(help="The tokenizer of a run on tokens.", metavar="FILE.json")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("generate")(generate)


def generate(
    run: TrainedRun,
    prompt: Prompt = "",
    max_new: MaxNew = 256,
    temperature: Temperature = 0.7,
    top_k: TopK = None,
    seed: Seed = 0,
    steps: Steps = None,
    tokenizer: Tokenizer = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Write text: after the prompt, until the model ends its document or --max-new tokens are written.

    [dim]Example: trm generate checkpoints/stories --prompt "Once upon a time" --temperature 0.8[/dim]
    """
    from trm_cli.console.answers.document import about_model
    from trm_cli.console.output import print_json, write_piece
    from trm_cli.training.hardware.devices import prepare_threads

    prepare_threads()
    import torch

    from trm_cli.data.stream.vocabulary import EOS
    from trm_cli.data.text.codec import shown, text_codec
    from trm_cli.evaluation.samples.text_generation import Wish, write
    from trm_cli.models.layers.sampling import Sampling
    from trm_cli.training.hardware.devices import choose_device
    from trm_cli.training.run.trained_model import load_trained

    where = torch.device(choose_device(device or "auto").value)
    trained = load_trained(run, where)
    codec = text_codec(trained.metadata, tokenizer)
    wish = Wish(codec.encode(prompt), max_new, Sampling(temperature, top_k), seed)
    notify = _nobody if as_json else write_piece
    notify(shown(prompt))
    tokens, text = _written(write(trained.model, codec.labels, wish, where, steps), codec, notify)  # type: ignore[arg-type]
    notify("\n")
    if as_json:
        law = {"temperature": temperature, "top_k": top_k, "seed": seed}
        said = {"prompt": prompt, "text": text, "tokens": tokens, "ended": tokens[-1:] == [EOS]}
        print_json({**about_model(trained.checkpoint, trained.step), **said, **law})


def _written(tokens: Iterable[int], codec: TextCodec, notify: Callable[[str], None]) -> tuple[list[int], str]:
    """All tokens and their text, of which `tell` hears each piece as it comes. Raises UsageError where none comes."""
    from trm_cli.data.stream.vocabulary import EOS
    from trm_cli.data.text.codec import shown
    from trm_cli.errors import UsageError

    written, pieces = [], []
    try:
        for token in tokens:
            written.append(token)
            if token != EOS:
                pieces.append(codec.piece(token))
                notify(shown(pieces[-1]))
    except ValueError as error:
        raise UsageError(str(error), hint="text is written by networks with `causal: true`") from error
    return written, "".join(pieces)


def _nobody(text: str) -> None:
    """Hear nothing."""
    del text
