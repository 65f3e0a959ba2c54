"""One pydantic model for each family of networks, told apart by `family:`.

Apart from `family` and `name`, the fields are exactly the keyword arguments of the family's network; the names are
those of the TRM paper. `scheduled` names the annealed quantities that the family reads, so that a plan shows no others.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from trm_cli.config.hesc_architecture import HescArch
from trm_cli.keys import Section, Whole, Word, count, key, ratio

Positions = Literal["rope", "learned", "none"]
Latent = Literal["two", "single", "six"]


class Architecture(Section):
    """What every family shares: width, positions, halting, and the embedding of the puzzle's identity."""

    name: Word = key("", "name of the architecture file, and of the default run directory", resume="free")
    hidden_size: Whole = key(512, "width D of every position", resume="fatal", ge=1, le=65_536)
    num_heads: Whole = key(8, "attention heads, hidden_size // num_heads wide each", resume="fatal", ge=1, le=1_024)
    expansion: float = key(4.0, "SwiGLU width as a multiple of hidden_size, before the factor 2/3", resume="fatal",
                           gt=0, le=64)  # fmt: skip
    pos_encodings: Positions = key("rope", "how a position is made known", resume="fatal")
    rope_theta: float = key(10_000.0, "base of the rotary frequencies", resume="fatal", gt=0, le=1e12)
    halt_max_steps: Whole = key(16, "most supervision steps that a puzzle gets", resume="fatal", unit="steps",
                                ge=1, le=10_000)  # fmt: skip
    halt_exploration_prob: float = ratio(0.1, "share of rows that must not halt early", resume="replan", unit="of rows")
    puzzle_emb_ndim: Whole = key(512, "learned numbers for each puzzle identifier; 0 = none", resume="fatal",
                                 ge=0, le=1_048_576)  # fmt: skip
    puzzle_emb_len: Whole = key(16, "positions before the grid that carry them; 0 = none", resume="fatal",
                                unit="positions", ge=0, le=4_096)  # fmt: skip

    @property
    def scheduled(self) -> tuple[str, ...]:
        """The annealed quantities that this network reads: where no puzzle table is, its learning rate is not."""
        return ("lr", "puzzle_emb_lr") if self.puzzle_emb_ndim else ("lr",)

    def attends(self) -> bool:
        """Whether any block uses attention heads."""
        return True

    def conflicts(self) -> list[tuple[str, str]]:
        """Heads without width or of odd width, and puzzle embeddings that do not fit their positions."""
        found = []
        width = self.hidden_size // self.num_heads  # rounded down: the published baseline has 12 heads of 42 in 512
        if self.attends() and not width:
            found.append(("num_heads", f"{self.num_heads} heads of {self.hidden_size} leave no width to each"))
        elif self.attends() and self.pos_encodings == "rope" and width % 2:
            found.append(("num_heads", f"rotary positions need heads of even width; these are {width} wide"))
        room = self.puzzle_emb_len * self.hidden_size
        if self.puzzle_emb_ndim > room:
            found.append((
                "puzzle_emb_len",
                f"{self.puzzle_emb_len} positions of width {self.hidden_size} hold {room} numbers, "
                f"puzzle_emb_ndim is {self.puzzle_emb_ndim}",
            ))  # fmt: skip
        if self.puzzle_emb_len and not self.puzzle_emb_ndim:
            found.append(("puzzle_emb_len", "positions without puzzle_emb_ndim carry nothing: set both or neither"))
        return found


class TrmArch(Architecture):
    """The Tiny Recursive Model (arXiv 2510.04871): one small stack of blocks, applied again and again."""

    family: Literal["trm"] = key("trm", "family of networks", resume="fatal")
    H_cycles: Whole = count(3, "outer cycles T; only the last one has a gradient", resume="fatal", unit="cycles")
    L_cycles: Whole = count(6, "updates of z_L before each update of z_H (n)", resume="fatal", unit="cycles")
    L_layers: Whole = count(2, "blocks in the shared stack", resume="fatal", unit="blocks")
    mlp_t: bool = key(False, "mix positions by an MLP instead of attention", resume="fatal")
    no_ACT_continue: bool = key(True, "halt when q_halt > 0; false compares it with q_continue", resume="fatal")
    causal: bool = key(False, "no position looks ahead: for text, where a label is the next token", resume="fatal")
    latent: Latent = key("two", "latent states: z_H and z_L, a single one, or six z_L", resume="fatal")

    def attends(self) -> bool:
        """The token-mixing variant has no heads."""
        return not self.mlp_t

    def conflicts(self) -> list[tuple[str, str]]:
        """Those of every architecture, and a mask that an MLP over the positions cannot have."""
        found = super().conflicts()
        if self.causal and self.mlp_t:
            found.append(("causal", "an MLP over the positions (mlp_t) sees all of them: set mlp_t to false"))
        return found


class HrmArch(Architecture):
    """The Hierarchical Reasoning Model: a slow and a fast network with separate weights."""

    family: Literal["hrm"] = key("hrm", "family of networks", resume="fatal")
    H_cycles: Whole = count(2, "updates of the slow state", resume="fatal", unit="cycles")
    L_cycles: Whole = count(2, "updates of the fast state before each of the slow one", resume="fatal", unit="cycles")
    H_layers: Whole = count(4, "blocks of the slow network", resume="fatal", unit="blocks")
    L_layers: Whole = count(4, "blocks of the fast network", resume="fatal", unit="blocks")


class TransformerArch(Architecture):
    """A plain transformer with the same input, output and halting, to compare with."""

    family: Literal["transformer"] = key("transformer", "family of networks", resume="fatal")
    H_cycles: Whole = count(1, "passes through the blocks in a supervision step", resume="fatal", unit="passes")
    H_layers: Whole = count(8, "blocks, each with its own weights", resume="fatal", unit="blocks")


AnyArch = Annotated[TrmArch | HrmArch | TransformerArch | HescArch, Field(discriminator="family")]

FAMILIES: dict[str, type[Section]] = {
    "trm": TrmArch,
    "hrm": HrmArch,
    "transformer": TransformerArch,
    "hesc": HescArch,
}
