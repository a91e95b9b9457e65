"""A gallery as HTML: no server, no script, nothing from elsewhere but the images that lie there."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nucleus_pandas._util.html import LONGEST, cut, isolated, safe
from nucleus_pandas.images.gallery.marks import Mark
from nucleus_pandas.images.gallery.svg import (
    DASHES,
    FOUND,
    MOST_MASKS,
    NEUTRAL,
    PALETTE,
    Colour,
    Colours,
    chosen,
    drawing,
    told,
)

_LONGEST_WORDS = 2_000  # characters of metadata and of reasons
_MATCHES = {"TP": "true positive", "FP": "false positive", "FN": "false negative, missed"}

_STYLE = """
.npd-gallery{font:13px/1.4 system-ui,-apple-system,"Segoe UI",sans-serif;color:inherit}
.npd-gallery *{box-sizing:border-box}
.npd-gallery p,.npd-gallery ul,.npd-gallery figure{margin:0;padding:0}
.npd-gallery .npd-head{font-weight:600;margin-bottom:10px}
.npd-gallery .npd-legend{display:flex;flex-wrap:wrap;gap:2px 14px;list-style:none;margin:-6px 0 10px}
.npd-legend li{display:flex;align-items:center;gap:5px;max-width:20em;margin:0}
.npd-legend bdi{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.npd-swatch{flex:none;width:12px;height:12px;border-radius:3px;border:1px solid #fff}
.npd-grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,var(--npd-size)),max-content));\
gap:16px;align-items:start}
.npd-gallery .npd-tile{max-width:var(--npd-size);min-width:0}
.npd-image{position:relative;max-width:100%;background:rgba(127,127,127,.15);overflow:hidden}
.npd-image img{display:block;width:100%;height:auto;margin:0;max-width:none}
.npd-marks text{fill:#fff;pointer-events:none;font-weight:600;paint-order:stroke;stroke-linejoin:round}
.npd-marks rect,.npd-marks polygon,.npd-marks polyline,.npd-marks circle{vector-effect:non-scaling-stroke}
.npd-broken{display:flex;flex-direction:column;justify-content:center;padding:12px;text-align:center;\
border:1px dashed currentColor;overflow-wrap:anywhere}
.npd-name,.npd-said{display:block;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.npd-note{display:block;overflow-wrap:anywhere}
.npd-name{font-weight:600;margin-top:4px}
.npd-note,.npd-said{font-size:12px;opacity:.8}
.npd-warned{display:block;font-size:12px;overflow-wrap:anywhere}
"""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data: http: https:; \
style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>:root{{color-scheme:light dark}}body{{margin:16px;background:#fff;color:#1b1b1b}}
@media (prefers-color-scheme:dark){{body{{background:#16181b;color:#e6e6e6}}}}</style>
</head>
<body>
{body}
</body>
</html>
"""


@dataclass(frozen=True)
class Tile:
    """An image as it is shown.

    Attributes
    ----------
    name : str
        What it is called.
    source : str or None
        What the page loads: a ``data:`` address or one of the web; None where nothing can be shown.
    size : (int, int) or None
        Width and height in pixels, by which the marks go.
    marks : list of Mark
        What lies on it.
    metadata : str
        What its item says.
    reason : str
        Why there is no image, or why boxes are not drawn; empty where all is well.
    problems : list of str
        Why rows are not drawn.
    """

    name: str
    source: str | None
    size: tuple[int, int] | None
    marks: list[Mark]
    metadata: str
    reason: str
    problems: list[str]


class Gallery:
    """Images with what lies on them, as HTML that needs no server and no script. Made by `nucleus_pandas.show`.

    A notebook shows it where it is the last line of a cell.

    Attributes
    ----------
    html : str
        The gallery as an element that can stand in any page.
    """

    def __init__(self, tiles: Sequence[Tile], total: int, noun: str, by: Colour, size: int) -> None:
        self._shown, self._total, self._noun = len(tiles), total, noun
        self.html = _gallery(tiles, self._title, _colours(tiles, by), size)

    @property
    def _title(self) -> str:
        if self._shown == self._total:
            return f"{self._total:,} {self._noun if self._total != 1 else self._noun.removesuffix('s')}"
        return f"{self._shown:,} of {self._total:,} {self._noun}"

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a page that any browser opens.

        Parameters
        ----------
        path : str or path-like
            The file; one that is there is replaced.

        Returns
        -------
        pathlib.Path
            The file.
        """
        file = Path(path).expanduser()
        file.write_text(_PAGE.format(title=safe(self._title), body=self.html), encoding="utf-8")
        return file

    def __len__(self) -> int:
        return self._shown

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<Gallery of {self._title}>"

    def _repr_html_(self) -> str:
        return self.html


def _colours(tiles: Sequence[Tile], by: Colour) -> Colours:
    often = Counter(label for tile in tiles for mark in tile.marks for label in mark.labels)
    labels = dict(zip([label for label, _ in often.most_common()], PALETTE, strict=False))
    return Colours(by, labels)


def _gallery(tiles: Sequence[Tile], title: str, colours: Colours, size: int) -> str:
    shown = "".join(_tile(tile, colours, size) for tile in tiles)
    return (
        f'<div class="npd-gallery" style="--npd-size:{size}px"><style>{_STYLE}</style><p class="npd-head">{title}</p>'
        f'{_legend(tiles, colours)}<div class="npd-grid">{shown}</div></div>'
    )


def _legend(tiles: Sequence[Tile], colours: Colours) -> str:
    marks = [mark for tile in tiles for mark in tile.marks]
    entries = []
    for side in ("ground truth", "prediction"):
        if any(mark.side == side and mark.is_placed for mark in marks):
            dashes = f' stroke-dasharray="{DASHES}"' if side == "prediction" else ""
            sample = (
                f'<rect x="2" y="2" width="22" height="10" fill="none" stroke="currentColor" stroke-width="2"{dashes}/>'
            )
            entries.append(f'<svg width="26" height="14" aria-hidden="true">{sample}</svg>{side}')
    if colours.by == "match_type":
        seen = [kind for kind in FOUND if any(mark.match_type == kind for mark in marks)]
        entries += [f"{_swatch(FOUND[kind])}<b>{kind}</b> {_MATCHES[kind]}" for kind in seen]
    else:
        entries += [f"{_swatch(colour)}{isolated(label)}" for label, colour in colours.labels.items()]
        others = len({label for mark in marks for label in mark.labels}) - len(colours.labels)
        if others:
            entries.append(f"{_swatch(NEUTRAL)}{others} other label{'s' if others > 1 else ''}")
    items = "".join(f"<li>{entry}</li>" for entry in entries)
    return f'<ul class="npd-legend">{items}</ul>' if items else ""


def _swatch(colour: str) -> str:
    return f'<span class="npd-swatch" style="background:{colour}"></span>'


def _tile(tile: Tile, colours: Colours, size: int) -> str:
    return f'<figure class="npd-tile">{_image(tile, colours, size)}<figcaption>{_caption(tile)}</figcaption></figure>'


def _image(tile: Tile, colours: Colours, size: int) -> str:
    name = safe(cut(tile.name))
    if tile.source is None:
        return (
            f'<div class="npd-image npd-broken" style="width:{size}px;height:{size // 2}px">'
            f"<span>This image {safe(cut(tile.reason, LONGEST))}.</span></div>"
        )
    alt = f'alt="{name}" decoding="async" loading="lazy" referrerpolicy="no-referrer"'
    if tile.size is None:
        return f'<div class="npd-image" style="width:{size}px"><img src="{safe(tile.source)}" {alt}></div>'
    scale = size / max(tile.size)
    width, height = (max(round(side * scale), 1) for side in tile.size)
    style = f"position:relative;width:{width}px;aspect-ratio:{tile.size[0]}/{tile.size[1]}"
    over = drawing(tile.marks, tile.size, scale, colours) if tile.marks else ""
    stretched = f'width="{width}" height="{height}" style="width:100%;height:100%"'
    return f'<div class="npd-image" style="{style}"><img src="{safe(tile.source)}" {stretched} {alt}>{over}</div>'


def _caption(tile: Tile) -> str:
    parts = [f'<bdi class="npd-name" title="{safe(tile.name)}">{safe(cut(tile.name))}</bdi>']
    facts = [] if tile.size is None else [f"{tile.size[0]} &times; {tile.size[1]}"]
    facts += _counted(tile.marks)
    if facts:
        parts.append(f'<span class="npd-note">{" · ".join(facts)}</span>')
    whole = [mark for mark in tile.marks if mark.shape == "none"]
    parts += [f'<span class="npd-note">{safe(told(mark))}: {isolated(mark.label)}</span>' for mark in whole]
    if tile.metadata:
        words = safe(cut(tile.metadata, _LONGEST_WORDS))
        parts.append(f'<bdi class="npd-said" title="{words}">{safe(cut(_said(tile.metadata)))}</bdi>')
    if tile.reason and tile.source is not None:
        parts.append(f'<span class="npd-warned">{safe(cut(tile.reason, _LONGEST_WORDS))}</span>')
    if tile.problems:
        count = len(tile.problems)
        words = safe(cut("\n".join(tile.problems), _LONGEST_WORDS))
        first = isolated(tile.problems[0])
        parts.append(
            f'<span class="npd-warned" title="{words}">{count} row{"s" if count > 1 else ""} not drawn: {first}</span>'
        )
    return "".join(parts)


def _said(metadata: str) -> str:
    """Write the first level of metadata as a line."""
    parts = []
    for key, value in json.loads(metadata).items():
        parts.append(f"{key}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}")
    return ", ".join(parts)


def _counted(marks: Sequence[Mark]) -> list[str]:
    """Return how much lies on an image."""
    placed = [mark for mark in marks if mark.is_placed]
    facts = []
    for side in ("ground truth", "prediction"):
        count = sum(mark.side == side for mark in placed)
        if count:
            facts.append(f"{count:,} {side if side == 'ground truth' or count == 1 else 'predictions'}")
    masks = sum(mark.shape == "mask" for mark in placed)
    if len(placed) > (drawn := len(chosen(placed)) + min(masks, MOST_MASKS)):
        facts.append(f"{drawn} drawn")
    return facts
