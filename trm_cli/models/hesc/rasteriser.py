"""Draw canvas codes as pixels on the training device, by table look-up: the dataset stores codes, not pixels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from trm_cli.models.hesc.font import GLYPH_WIDTH, glyph_atlas
from trm_cli.models.hesc.geometry import PICTURE, TEXT, CanvasGeometry

# Empty, then the ten colours in which ARC tasks are usually shown. Paper is white, which no colour is.
PALETTE = (
    (255, 255, 255),
    (0, 0, 0),
    (0, 116, 217),
    (255, 65, 54),
    (46, 204, 64),
    (255, 220, 0),
    (170, 170, 170),
    (240, 18, 190),
    (255, 133, 27),
    (127, 219, 255),
    (135, 12, 37),
)


class Rasteriser(nn.Module):
    """Draws a batch of canvases. Holds two constant tables and no parameter.

    Raises ValueError where the cell size does not fit the built-in glyphs.
    """

    palette: Tensor
    atlas: Tensor

    def __init__(self, geometry: CanvasGeometry) -> None:
        super().__init__()
        if geometry.cell_size != GLYPH_WIDTH:
            raise ValueError(f"cell_size is {geometry.cell_size}; the glyphs are drawn for {GLYPH_WIDTH} px.")
        self.geometry = geometry
        # Constants of the code, not of a run: they stay out of the state dict.
        self.register_buffer("palette", torch.tensor(PALETTE, dtype=torch.uint8), persistent=False)
        self.register_buffer("atlas", glyph_atlas(), persistent=False)

    def grids(self, codes: Tensor) -> Tensor:
        """Cell codes [B, >= cells] (0 empty, 1..10 colours) -> uint8 [B, 3, H, W]."""
        side, size = self.geometry.cells_per_side, self.geometry.cell_size
        cells = codes[:, : side * side].long().clamp(0, len(PALETTE) - 1)
        colours = self.palette[cells].view(-1, side, side, 3).permute(0, 3, 1, 2)
        return colours.repeat_interleave(size, 2).repeat_interleave(size, 3)

    def texts(self, codes: Tensor) -> Tensor:
        """Bytes [B, >= characters], 0 is paper -> uint8 [B, 3, H, W], black on white."""
        rows, columns = self.geometry.text_rows, self.geometry.text_columns
        glyphs = self.atlas[codes[:, : rows * columns].long()].view(-1, rows, columns, *self.atlas.shape[1:])
        page = 255 - glyphs.permute(0, 1, 3, 2, 4).reshape(codes.shape[0], 1, rows * self.atlas.shape[1], -1)
        missing = self.geometry.canvas_size - page.shape[2]
        return functional.pad(page, (0, 0, 0, missing), value=255).expand(-1, 3, -1, -1)

    def forward(self, canvas_kind: Tensor, canvas: Tensor, picture: Tensor | None = None) -> Tensor:
        """Kinds [B], codes [B, C], optional native pictures uint8 [B, 3, h, w] -> pixels uint8 [B, 3, H, W].

        Each row is drawn both ways and the right one kept: choosing rows by index would wait for the device.
        """
        kind = canvas_kind.view(-1, 1, 1, 1)
        need = max(self.geometry.cells, self.geometry.characters) - canvas.shape[1]
        codes = functional.pad(canvas, (0, need)) if need > 0 else canvas
        pixels = torch.where(kind == TEXT, self.texts(codes), self.grids(codes))
        if picture is None:
            return pixels
        size = (self.geometry.canvas_size, self.geometry.canvas_size)
        scaled = functional.interpolate(picture.float(), size=size, mode="bilinear", align_corners=False)
        return torch.where(kind == PICTURE, scaled.round().to(torch.uint8), pixels)

    def patches(self, pixels: Tensor) -> Tensor:
        """Pixels uint8 [B, 3, H, W] -> ink, float32 [B, patches, 3 * patch * patch], row-major patches.

        Ink is 0 on paper and 2 on black: what is not there adds nothing to what the encoder sees.
        """
        side, size = self.geometry.patches_per_side, self.geometry.patch_size
        tiles = pixels.view(-1, 3, side, size, side, size).permute(0, 2, 4, 1, 3, 5)
        return 2.0 - tiles.reshape(-1, side * side, self.geometry.patch_pixels).float() / 127.5
