"""Write text with a trained model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trm_cli.errors import UsageError
from trm_cli.workflows.trained_model import load, sealed_of

if TYPE_CHECKING:
    from trm_cli.data.text.stop_texts import StopTexts
    from trm_cli.training.run.trained_model import TrainedModel


@dataclass(frozen=True)
class GenerateRequest:
    """The options of a generation.

    run: a run or a checkpoint file. prompt: the text to continue. max_new: the largest number of new tokens.
    temperature: 0 for greedy decoding. top_k: sample from the k most likely tokens only; top_p: from the fewest most
    likely ones whose probabilities add up to this. stop: texts that end it. steps: supervision steps per token, None:
    as trained. tokenizer: the tokenizer file of a run on tokens.
    """

    run: str
    prompt: str = ""
    max_new: int = 256
    temperature: float = 0.7
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0
    stop: Sequence[str] = ()
    steps: int | None = None
    tokenizer: Path | None = None
    device: str = "auto"


@dataclass(frozen=True)
class GeneratedText:
    """The text after the prompt. ended: the model has written its end token; stopped_at: the stop text that followed,
    None where none did. tokens: all that were chosen, those of the stop text too."""

    text: str
    tokens: list[int]
    ended: bool
    stopped_at: str | None
    checkpoint: Path
    step: int


def generate(
    request: GenerateRequest,
    on_text: Callable[[str], None] = lambda _: None,
    notify: Callable[[str], None] = lambda _: None,
) -> GeneratedText:
    """Load the model and generate text. on_text: receives the prompt, then each new piece of text.

    notify: receives messages for the user. Raises TrmError.
    """
    from trm_cli.data.text.codec import text_codec

    stop_texts(request)  # before anything that takes seconds to load
    text_codec(sealed_of(request.run).metadata, request.tokenizer)
    trained, _ = load(request.run, request.device, notify)
    return generate_with(trained, request, on_text, notify)


def stop_texts(request: GenerateRequest) -> StopTexts:
    """What watches for the texts that end a generation. Raises UsageError."""
    from trm_cli.data.text.stop_texts import StopTexts

    try:
        return StopTexts(request.stop)
    except ValueError as error:
        raise UsageError(f"--stop: {error}") from error


def generate_with(
    trained: TrainedModel,
    request: GenerateRequest,
    on_text: Callable[[str], None] = lambda _: None,
    notify: Callable[[str], None] = lambda _: None,
) -> GeneratedText:
    """Generate text with a model that is loaded. Raises TrmError."""
    from trm_cli.data.stream.vocabulary import EOS
    from trm_cli.data.text.codec import shown, text_codec
    from trm_cli.evaluation.samples.text_generation import TextRequest, beginning, write
    from trm_cli.models.layers.sampling import Sampling
    from trm_cli.models.text_reader import kept_of_long_text

    stop = stop_texts(request)
    codec = text_codec(trained.metadata, request.tokenizer)
    sampling = Sampling(request.temperature, request.top_k, request.top_p)
    prompt = codec.encode(request.prompt)
    text_request = TextRequest(beginning(trained.model, prompt), request.max_new, sampling, request.seed)
    window = trained.metadata.extra.get("text_window")
    window = window if isinstance(window, int) else trained.metadata.seq_len
    if len(text_request.prompt) > window:
        kept = kept_of_long_text(window)
        notify(f"the model reads {window:,} tokens at once: of the {len(prompt):,} of the prompt the last {kept:,}")
    tokens: list[int] = []
    pieces: list[str] = []

    def say(piece: str) -> None:
        pieces.append(piece)
        on_text(shown(piece))

    try:
        writing = write(trained.model, codec.labels, text_request, request.steps, window)
        on_text(shown(request.prompt))
        for token in writing:
            tokens.append(token)
            if token != EOS:
                say(stop.add(codec.piece(token)))
            if stop.found is not None:
                break
    except ValueError as error:
        raise UsageError(str(error), hint="text is written by networks with `causal: true`") from error
    say(stop.rest())
    ended = tokens[-1:] == [EOS]
    return GeneratedText("".join(pieces), tokens, ended, stop.found, trained.checkpoint, trained.step)
