"""Generate text token by token, with a network of capsules or a causal network of tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from trm_cli.data.counter_rng import uniform
from trm_cli.data.stream.vocabulary import EOS, START
from trm_cli.data.text.labels import TextLabels
from trm_cli.models.capsule_network import CapsuleNetwork
from trm_cli.models.layers.sampling import Sampling
from trm_cli.models.network import Network


@dataclass(frozen=True)
class TextRequest:
    """A request for text: at most `count` tokens after the prompt (see `beginning`), with a sampling rule and a
    seed."""

    prompt: Sequence[int]
    count: int
    sampling: Sampling
    seed: int

    def draw(self, place: int) -> float:
        """Draw the number in [0, 1) that chooses token `place` of the text, whatever was written before it."""
        return float(uniform(self.seed, "writing", place, 1)[0])


def write(
    network: Network, labels: TextLabels, request: TextRequest, steps: int | None = None, window: int | None = None
) -> Iterator[int]:
    """Yield tokens until the end mark (which is yielded) or the count. steps: supervision steps of a model of tokens;
    window: tokens that are read at once, None: as many as the network takes.

    Raises ValueError for a model that sees what it is to write.
    """
    reader = network.text_reader(window or network.seq_len, steps)
    silent = torch.ones(network.vocab_size, dtype=torch.bool, device=network.device)
    silent[labels.first : labels.stop] = False
    silent[EOS] = False
    scores = reader.begin(request.prompt)
    for place in range(request.count):
        draw = torch.tensor([request.draw(place)], device=network.device)
        token = int(request.sampling.choose(scores.masked_fill(silent, -torch.inf)[None], draw))
        yield token
        if token == EOS:
            return
        if place + 1 < request.count:
            scores = reader.add(token)


def beginning(network: Network, prompt: Sequence[int]) -> list[int]:
    """What is read of a prompt: in a stream a text begins with a mark of its own, else after the end of another."""
    return [START, *prompt] if isinstance(network, CapsuleNetwork) else list(prompt) or [EOS]
