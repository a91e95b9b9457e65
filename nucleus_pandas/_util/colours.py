"""The colours of labels and of outcomes, the same in galleries, on the page and in plots."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from itertools import islice

# White text reads on all of them, and each stands out from white and from black.
PALETTE = (
    "#0072b2",
    "#c24e00",
    "#00795a",
    "#a8327d",
    "#7a5200",
    "#5a4fcf",
    "#c62828",
    "#006d83",
    "#5e6b00",
    "#6b4a8c",
)
RGB = tuple((red, green, blue) for red, green, blue in (bytes.fromhex(colour[1:]) for colour in PALETTE))
"""Red, green and blue of each colour of the palette."""
NEUTRAL = "#595959"
MATCH_COLOURS = {"TP": PALETTE[0], "FP": PALETTE[1], "FN": PALETTE[3]}


@lru_cache(4_096)
def own_colour(label: str) -> int:
    """Return the number of the colour that a label has where no other label wants it.

    Examples
    --------
    >>> own_colour("car") == own_colour("car"), 0 <= own_colour("dog") < len(PALETTE)
    (True, True)
    """
    return blake2b(label.encode("utf-8", "replace"), digest_size=1).digest()[0] % len(PALETTE)


def colours_of(labels: Iterable[str]) -> dict[str, int]:
    """Return the numbers of the colours of the most frequent labels, each a different one.

    A label has its own colour, or the next free one if a label before it in the alphabet has that. So the colours
    depend on which labels there are, and not on how frequent they are in one image, dataset or plot.

    Parameters
    ----------
    labels : iterable of str
        By falling frequency; as many as there are colours get one.

    Examples
    --------
    >>> colours_of(["car", "bus"]) == colours_of(["bus", "car"])
    True
    """
    numbers = dict.fromkeys(islice(dict.fromkeys(labels), len(PALETTE)), 0)
    free = set(range(len(PALETTE)))
    for label in sorted(numbers):
        steps = [(number - own_colour(label)) % len(PALETTE) for number in free]
        numbers[label] = (own_colour(label) + min(steps)) % len(PALETTE)
        free.discard(numbers[label])
    return numbers
