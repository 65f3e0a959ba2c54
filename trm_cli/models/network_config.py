"""Declare the configuration keys that every network has. No torch here."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from trm_cli.keys import Section, Word, key


class NetworkConfig(Section):
    """The architecture of a run: the keys of one family, which the loader reads and the network takes as they are."""

    name: Word = key("", "name of the architecture file, and of the default run directory", resume="free")

    #: The class that is built from it, as "module:class": named, not imported, since it loads torch.
    network: ClassVar[str]

    if TYPE_CHECKING:  # every family declares these, each with its own default
        family: str
        hidden_size: int
        num_heads: int
        expansion: float
        rope_theta: float
        halt_max_steps: int
        puzzle_emb_ndim: int

    @property
    def scheduled(self) -> tuple[str, ...]:
        """The values of the clock that this network reads: where no puzzle table is, its learning rate is not."""
        return ("lr", "puzzle_emb_lr") if self.puzzle_emb_ndim else ("lr",)

    @property
    def largest_board(self) -> int | None:
        """Cells along one side of the largest grid that the network takes from a stream; None where it reads tokens."""
        return None

    @property
    def predicts_next_token(self) -> bool:
        """Whether no position sees what comes after it, so that the network can write text."""
        return False

    @property
    def largest_batch(self) -> int | None:
        """Rows of the largest batch that can be learnt from; None where there is no such limit."""
        return None

    @property
    def learns_row_by_row(self) -> bool:
        """Whether a batch in slices teaches exactly what the batch at once teaches."""
        return True
