"""Write text with a trained model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trm_cli.errors import UsageError
from trm_cli.workflows.trained_model import load


@dataclass(frozen=True)
class GenerateRequest:
    """The options of a generation.

    run: a run or a checkpoint file. prompt: the text to continue. max_new: the largest number of new tokens.
    temperature: 0 for greedy decoding. top_k: sample from the k most likely tokens only. steps: supervision steps per
    token, None: as trained. tokenizer: the tokenizer file of a run on tokens.
    """

    run: str
    prompt: str = ""
    max_new: int = 256
    temperature: float = 0.7
    top_k: int | None = None
    seed: int = 0
    steps: int | None = None
    tokenizer: Path | None = None
    device: str = "auto"


@dataclass(frozen=True)
class GeneratedText:
    """The text after the prompt. ended: the model has written its end token."""

    text: str
    tokens: list[int]
    ended: bool
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
    trained, device = load(request.run, request.device, notify)
    from trm_cli.data.stream.vocabulary import EOS
    from trm_cli.data.text.codec import shown, text_codec
    from trm_cli.evaluation.samples.text_generation import TextRequest, write
    from trm_cli.models.layers.sampling import Sampling

    codec = text_codec(trained.metadata, request.tokenizer)
    law = Sampling(request.temperature, request.top_k)
    text_request = TextRequest(codec.encode(request.prompt), request.max_new, law, request.seed)
    on_text(shown(request.prompt))
    window = trained.metadata.extra.get("text_window")
    tokens: list[int] = []
    pieces: list[str] = []
    try:
        for token in write(
            trained.model,
            codec.labels,
            text_request,
            device,
            request.steps,
            window if isinstance(window, int) else None,
        ):
            tokens.append(token)
            if token != EOS:
                pieces.append(codec.piece(token))
                on_text(shown(pieces[-1]))
    except ValueError as error:
        raise UsageError(str(error), hint="text is written by networks with `causal: true`") from error
    return GeneratedText("".join(pieces), tokens, tokens[-1:] == [EOS], trained.checkpoint, trained.step)
