"""A stroke font of 7x14 px for printable ASCII, and bit patterns for every other byte.

A glyph is written as polylines, separated by commas; each point is two digits, column 0..4 and row 0..6 (baseline 5,
descenders reach 6), drawn at pixel (1 + column, 1 + 2 * row). No two bytes look the same (a test compares all pairs),
so the canvas loses nothing that the codes held.
"""

from __future__ import annotations

import hashlib
from functools import cache
from itertools import pairwise

import torch
from torch import Tensor

GLYPH_WIDTH, GLYPH_HEIGHT = 7, 14

_STROKES = {
    " ": "", "!": "2023,2525", '"': "1011,3031", "#": "1015,3035,0242,0444", "$": "4130100112324344351504,2026",
    "%": "0540,0101,4444", "&": "4511203104152543", "'": "2021", "(": "30121335", ")": "10323315",
    "*": "2124,0143,0341", "+": "2125,0343", ",": "252616", "-": "0343", ".": "2525", "/": "0540",
    "0": "103041443515040110,1431", "1": "112025,1535", "2": "01103041420545", "3": "01103041324344351504",
    "4": "35300343", "5": "4000023243443505", "6": "4130100104153544433202", "7": "00404115",
    "8": "10304132120110,1203041535444332", "9": "4313020110304144351504", ":": "2222,2525", ";": "2222,252616",
    "<": "410345", "=": "0242,0444", ">": "014305", "?": "011030414223,2525", "@": "443515040110304143332332",
    "A": "050110304145,0343", "B": "050030413202,3243443505", "C": "4130100104153544", "D": "00053544413000",
    "E": "40000545,0232", "F": "400005,0232", "G": "41301001041535444323", "H": "0005,4045,0242",
    "I": "1030,2025,1535", "J": "4044351504", "K": "0005,400245", "L": "000545", "M": "0500224045", "N": "05004540",
    "O": "103041443515040110", "P": "05003041423303", "Q": "103041443515040110,2345", "R": "05003041423303,2345",
    "S": "4130100112324344351504", "T": "0040,2025", "U": "000415354440", "V": "002540", "W": "0015223540",
    "X": "0045,0540", "Y": "002240,2225", "Z": "00400545", "[": "30101535", "\\": "0045", "]": "10303515",
    "^": "022042", "_": "0646", "`": "1021", "a": "12324345150444", "b": "00053544433202", "c": "421203041545",
    "d": "40451504031242", "e": "044443321203041545", "f": "40302125,1242", "g": "4515040312424606",
    "h": "0005,02324345", "i": "2225,2020", "j": "323616,3030", "k": "0005,420345", "l": "10202535",
    "m": "0502,02122325,23324345", "n": "0502,02324345", "o": "123243443515040312", "p": "0602,023243443505",
    "q": "4642,421203041545", "r": "0502,03123242", "s": "421203443505", "t": "20243545,0242", "u": "0204154542",
    "v": "022542", "w": "0215233542", "x": "0245,0542", "y": "0224,4206", "z": "02420545", "{": "30202213242535",
    "|": "2026", "}": "10202233242515", "~": "03123443",
}  # fmt: skip


def _draw(strokes: str) -> set[tuple[int, int]]:
    """Pixels (row, column) of the polylines."""
    pixels: set[tuple[int, int]] = set()
    for line in filter(None, strokes.split(",")):
        points = [(1 + 2 * int(line[i + 1]), 1 + int(line[i])) for i in range(0, len(line), 2)]
        for (row, column), (end_row, end_column) in pairwise(points):
            count = max(abs(end_row - row), abs(end_column - column), 1)
            for k in range(count + 1):
                pixels.add(
                    (row + round((end_row - row) * k / count), column + round((end_column - column) * k / count))
                )
    return pixels


def _bit_pattern(byte: int) -> set[tuple[int, int]]:
    """Eight 2x2 blocks, two columns of four, one for each bit, under a bar that no letter has."""
    pixels = {(0, column) for column in range(GLYPH_WIDTH)}
    for bit in range(8):
        if byte >> bit & 1:
            top, left = 2 + 3 * (bit % 4), 1 + 3 * (bit // 4)
            pixels |= {(top + i, left + j) for i in range(2) for j in range(2)}
    return pixels


@cache
def _atlas_rows() -> tuple[tuple[tuple[int, ...], ...], ...]:
    atlas = []
    for byte in range(256):
        character = chr(byte)
        # Code 0 pads the canvas: it is drawn as nothing.
        pixels = set() if byte == 0 else _draw(_STROKES[character]) if character in _STROKES else _bit_pattern(byte)
        atlas.append(
            tuple(
                tuple(255 * ((row, column) in pixels) for column in range(GLYPH_WIDTH)) for row in range(GLYPH_HEIGHT)
            )
        )
    return tuple(atlas)


def glyph_atlas() -> Tensor:
    """Ink of every byte: uint8 [256, 14, 7], 0 paper, 255 ink."""
    return torch.tensor(_atlas_rows(), dtype=torch.uint8)


def atlas_fingerprint() -> str:
    """SHA-256 of the atlas: two models that read text through different fonts are told apart by it."""
    flat = bytes(pixel for glyph in _atlas_rows() for row in glyph for pixel in row)
    return hashlib.sha256(flat).hexdigest()
