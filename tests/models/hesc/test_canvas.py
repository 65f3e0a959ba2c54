from __future__ import annotations

import pytest
import torch

from trm_cli.models.hesc import font
from trm_cli.models.hesc.capsules import part_distances, region_distances
from trm_cli.models.hesc.geometry import GRID, PICTURE, TEXT, CanvasGeometry
from trm_cli.models.hesc.rasteriser import PALETTE, Rasteriser

SMALL = CanvasGeometry(28, 14, 7)


def kinds(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("size", "patches", "side", "characters"), [(224, 256, 32, 512), (84, 36, 12, 72), (56, 16, 8, 32)]
)
def test_a_canvas_divides_into_patches_cells_and_characters(size, patches, side, characters):
    geometry = CanvasGeometry(size, 14, 7)
    assert (geometry.patches, geometry.cells_per_side, geometry.characters) == (patches, side, characters)


@pytest.mark.parametrize(("canvas", "patch"), [(225, 14), (224, 7), (0, 14)])
def test_a_canvas_that_would_cut_cells_is_refused(canvas, patch):
    with pytest.raises(ValueError, match=r"canvas_size|patch_size"):
        CanvasGeometry(canvas, patch, 7)


def test_two_different_grids_give_two_different_canvases_and_colours_keep_their_identity():
    # Defect 11: distinct inputs drawn alike.
    codes = torch.arange(16, dtype=torch.uint8)[None].clamp(max=10)
    pixels = Rasteriser(SMALL)(kinds(GRID), codes)
    assert pixels.shape == (1, 3, 28, 28)
    for cell in range(16):
        top, left = 7 * (cell // 4), 7 * (cell % 4)
        block = pixels[0, :, top : top + 7, left : left + 7].flatten(1)
        assert (block == torch.tensor(PALETTE[min(cell, 10)])[:, None]).all()
    other = codes.clone()
    other[0, 5] = 9
    assert not torch.equal(pixels, Rasteriser(SMALL)(kinds(GRID), other))


def test_a_colour_is_drawn_alike_whatever_else_is_on_the_canvas():
    # Defect 11: colours by rank. A grid of 3 and 7 looked like one of 0 and 1.
    codes = torch.full((2, 16), 3 + 1, dtype=torch.uint8)
    codes[:, 5] = 7 + 1
    codes[1, 10] = 1 + 1
    pixels = Rasteriser(SMALL)(kinds(GRID, GRID), codes)[:, :, 3::7, 3::7]
    three, seven, one = (torch.tensor(PALETTE[colour + 1]) for colour in (3, 7, 1))
    for row in range(2):
        assert torch.equal(pixels[row, :, 0, 0], three) and torch.equal(pixels[row, :, 1, 1], seven)
    assert torch.equal(pixels[1, :, 2, 2], one) and torch.equal(pixels[0, :, 2, 2], three)


def test_colours_are_all_different():
    assert len(set(PALETTE)) == len(PALETTE) == 11


def test_no_two_bytes_look_the_same_except_padding_and_space():
    flat = font.glyph_atlas().flatten(1).float()
    same = (torch.cdist(flat, flat) == 0).nonzero().tolist()
    assert [pair for pair in same if pair[0] < pair[1]] == [[0, 32]]


def test_the_font_is_the_one_that_weights_were_trained_with():
    assert font.atlas_fingerprint()[:16] == "7588445767b83341"


def test_text_is_drawn_from_the_atlas_row_by_row():
    codes = torch.tensor([list(b"Ab" + bytes(6))], dtype=torch.uint8)
    pixels = Rasteriser(SMALL)(kinds(TEXT), codes)
    assert torch.equal(255 - pixels[0, 0, :14, 7:14], font.glyph_atlas()[ord("b")])
    assert (pixels[0, :, 14:] == 255).all()


def test_a_batch_may_mix_grids_text_and_pictures():
    canvas = torch.randint(0, 11, (3, 16), dtype=torch.uint8)
    picture = torch.full((3, 3, 5, 9), 77, dtype=torch.uint8)
    mixed = Rasteriser(SMALL)(kinds(GRID, TEXT, PICTURE), canvas, picture)
    assert torch.equal(mixed[:1], Rasteriser(SMALL)(kinds(GRID), canvas[:1]))
    assert torch.equal(mixed[1:2], Rasteriser(SMALL)(kinds(TEXT), canvas[1:2]))
    assert (mixed[2] == 77).all()


def test_patches_hold_their_own_pixels():
    raster = Rasteriser(SMALL)
    pixels = raster(kinds(GRID), torch.arange(16, dtype=torch.uint8)[None] % 11)
    patches = raster.patches(pixels)
    assert patches.shape == (1, 4, 588)
    lower_left = 2 - pixels[0, :, 14:, :14].flatten().float() / 127.5
    assert torch.equal(patches[0, 2], lower_left)


@pytest.mark.parametrize("side", [1, 2, 3, 4, 6, 16])
def test_every_region_has_patches_and_every_patch_a_region(side):
    inside = region_distances(3, 4, side) == 0
    assert inside.any(0).all()
    assert inside.any(1).all()


@pytest.mark.parametrize("lookers", [2, 3, 4, 6, 8])
def test_the_lookers_of_a_capsule_prefer_different_parts_of_its_region(lookers):
    rows, columns, side = 2, 3, 24
    preferred = part_distances(rows, columns, side, lookers).argmin(-1).T  # [K, lookers]
    inside = region_distances(rows, columns, side) == 0
    for capsule, places in enumerate(preferred):
        assert len(set(places.tolist())) == lookers
        assert inside[capsule, places].all()
