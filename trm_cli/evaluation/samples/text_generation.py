"""Generate text token by token, with a network of capsules or a causal network of tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trm_cli.data.counter_rng import uniform
from trm_cli.data.stream.vocabulary import EOS, PAD
from trm_cli.data.text.labels import TextLabels
from trm_cli.models.capsule_network import CapsuleNetwork
from trm_cli.models.layers.losses import log_stablemax_scores
from trm_cli.models.layers.sampling import Sampling
from trm_cli.models.network import Network
from trm_cli.models.thinking import think


@dataclass(frozen=True)
class TextRequest:
    """A request for text: at most `count` tokens after the prompt, with a sampling rule and a seed."""

    prompt: Sequence[int]
    count: int
    sampling: Sampling
    seed: int

    def draw(self, place: int) -> float:
        """Draw the number in [0, 1) that chooses token `place` of the text, whatever was written before it."""
        return float(uniform(self.seed, "writing", place, 1)[0])


def write(
    network: Network,
    labels: TextLabels,
    request: TextRequest,
    device: torch.device,
    steps: int | None = None,
    window: int | None = None,
) -> Iterator[int]:
    """Yield tokens until the end mark (which is yielded) or the count. steps: supervision steps of a model of tokens;
    window: tokens of a text that a network of capsules has read at once in training.

    Raises ValueError for a model of tokens that sees what it is to write.
    """
    speakable = torch.zeros(labels.stop, dtype=torch.bool)
    speakable[labels.first :] = True
    speakable[EOS] = True
    if isinstance(network, CapsuleNetwork):
        allowed = torch.zeros(network.vocab_size, dtype=torch.bool, device=device)
        allowed[: len(speakable)] = speakable.to(device)
        draws = torch.tensor([request.draw(place) for place in range(request.count)], device=device)
        tokens = network.continue_text(
            request.prompt, request.count, window or network.seq_len, request.sampling, draws, speakable=allowed
        )
    else:
        if not network.config.predicts_next_token:
            raise ValueError("The network looks ahead (causal: false): it cannot write what it has not seen.")
        tokens = _in_rows(network, request, device, speakable, steps or network.halt_max_steps)
    for token in tokens:
        yield token
        if token == EOS:
            return


def _in_rows(
    network: Network, request: TextRequest, device: torch.device, speakable: Tensor, steps: int
) -> Iterator[int]:
    """Generate each token from the longest row of what precedes it; a document begins after an end mark."""
    length = network.seq_len
    tokens = list(request.prompt) or [EOS]
    for place in range(request.count):
        row = tokens[-length:]
        inputs = torch.tensor([row + [PAD] * (length - len(row))], dtype=torch.int32, device=device)
        identifiers = torch.zeros(1, dtype=torch.int32, device=device)
        batch = {"inputs": inputs, "labels": torch.full_like(inputs, -100), "puzzle_identifiers": identifiers}
        for step in think(network, batch, steps=steps):
            outputs = step.outputs
        scores = log_stablemax_scores(outputs.logits[:, len(row) - 1].float())
        scores = scores.masked_fill(~speakable.to(device), -torch.inf)
        draw = torch.tensor([request.draw(place)], device=device)
        token = int(request.sampling.choose(scores, draw))
        tokens.append(token)
        yield token
