"""The classes of the built-in pictures as lines: letters, digits and shapes. Standard library only.

A glyph is written as polylines, separated by commas; each point is two digits, column 0..4 and row 0..5. A shape is one
closed line around its surface, points of three digits each: thousandths of its width and height.
"""

from __future__ import annotations

from itertools import pairwise

Point = tuple[float, float]
Segment = tuple[Point, Point]

_GLYPHS = {
    "A": "050110304145,0343", "B": "050030413202,3243443505", "C": "4130100104153544", "D": "00053544413000",
    "E": "40000545,0232", "F": "400005,0232", "G": "41301001041535444323", "H": "0005,4045,0242",
    "I": "1030,2025,1535", "J": "4044351504", "K": "0005,400245", "L": "000545", "M": "0500224045", "N": "05004540",
    "O": "103041443515040110", "P": "05003041423303", "Q": "103041443515040110,2345", "R": "05003041423303,2345",
    "S": "4130100112324344351504", "T": "0040,2025", "U": "000415354440", "V": "002540", "W": "0015223540",
    "X": "0045,0540", "Y": "002240,2225", "Z": "00400545",
    "0": "103041443515040110,1431", "1": "112025,1535", "2": "01103041420545", "3": "01103041324344351504",
    "4": "35300343", "5": "4000023243443505", "6": "4130100104153544433202", "7": "00404115",
    "8": "10304132120110,1203041535444332", "9": "4313020110304144351504",
}  # fmt: skip
_SHAPES = {
    "circle": "500000 691038 854146 962309 999500 962691 854854 691962 500999 309962 146854 038691 000500 038309 "
    "146146 309038",
    "square": "000000 999000 999999 000999",
    "triangle": "500000 999999 000999",
    "diamond": "500000 850500 500999 150500",
    "star": "500000 618345 976345 688559 794905 500691 206905 312559 024345 382345",
    "cross": "340000 660000 660340 999340 999660 660660 660999 340999 340660 000660 000340 340340",
    "heart": "500250 600090 760050 920130 990300 930520 500980 070520 010300 080130 240050 400090",
    "moon": "620020 380040 160180 040400 040620 160840 380970 620990 800930 600800 500640 470500 500340 610200 800090",
    "arrow": "000360 560360 560100 999500 560900 560640 000640",
    "hexagon": "250067 750067 999500 750933 250933 000500",
}
LABELS = (*_GLYPHS, *_SHAPES)


def segments_of(label: str) -> tuple[list[Segment], bool]:
    """Return the lines of a class in a box from (-0.5, -0.5) to (0.5, 0.5), and whether they are a surface's edge."""
    if label in _SHAPES:
        points = [(int(text[:3]) / 999 - 0.5, int(text[3:]) / 999 - 0.5) for text in _SHAPES[label].split()]
        return list(pairwise([*points, points[0]])), True
    lines = []
    for text in _GLYPHS[label].split(","):
        points = [(int(text[at]) / 4 - 0.5, int(text[at + 1]) / 5 - 0.5) for at in range(0, len(text), 2)]
        lines += list(pairwise(points))
    return lines, False
