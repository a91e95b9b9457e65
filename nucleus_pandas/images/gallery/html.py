"""A gallery as HTML: no server, no script, and no external content but remote images."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from nucleus_pandas._util.colours import MATCH_COLOURS, NEUTRAL, colours_of
from nucleus_pandas._util.html import cut, isolated, safe
from nucleus_pandas.images.gallery.marks import Mark
from nucleus_pandas.images.gallery.svg import DASHES, MAX_MASKS, ColourBy, MarkColours, described, drawing, drawn_marks

_LONGEST_WORDS = 2_000  # characters of metadata and of reasons
_MATCHES = {"TP": "true positive", "FP": "false positive", "FN": "false negative, missed"}

_STYLE = Markup("""
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
.npd-marks rect,.npd-marks polygon,.npd-marks polyline,.npd-marks path{vector-effect:non-scaling-stroke}
.npd-broken{display:flex;flex-direction:column;justify-content:center;padding:12px;text-align:center;\
border:1px dashed currentColor;overflow-wrap:anywhere}
.npd-name,.npd-said{display:block;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.npd-note{display:block;overflow-wrap:anywhere}
.npd-name{font-weight:600;margin-top:4px}
.npd-note,.npd-said{font-size:12px;opacity:.8}
.npd-warned{display:block;font-size:12px;overflow-wrap:anywhere}
""")

_PAGE = Markup("""<!DOCTYPE html>
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
""")


@dataclass(frozen=True)
class GalleryTile:
    """An image as it is shown.

    Attributes
    ----------
    name : str
        Its name.
    source : str or None
        The URL that the page loads: ``data:`` or remote; None if nothing can be shown.
    size : (int, int) or None
        Width and height in pixels, to which the marks refer.
    marks : list of Mark
        The marks on it.
    metadata : str
        The metadata of its item.
    reason : str
        Why there is no image, or why boxes are not drawn; empty otherwise.
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
    """Images with their annotations as HTML that needs no server and no script. Created by `nucleus_pandas.show`.

    A notebook shows it if it is the last expression of a cell.

    Attributes
    ----------
    html : str
        The gallery as an element for any page.
    """

    def __init__(self, tiles: Sequence[GalleryTile], total: int, noun: str, by: ColourBy, size: int) -> None:
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
            The file; an existing one is replaced.

        Returns
        -------
        pathlib.Path
            The file.
        """
        file = Path(path).expanduser()
        file.write_text(_PAGE.format(title=self._title, body=Markup(self.html)), encoding="utf-8")
        return file

    def __len__(self) -> int:
        return self._shown

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<Gallery of {self._title}>"

    def _repr_html_(self) -> str:
        return self.html


def _colours(tiles: Sequence[GalleryTile], by: ColourBy) -> MarkColours:
    often = Counter(label for tile in tiles for mark in tile.marks for label in mark.labels)
    return MarkColours(by, colours_of(label for label, _ in often.most_common()))


def _gallery(tiles: Sequence[GalleryTile], title: str, colours: MarkColours, size: int) -> str:
    gallery = Markup(
        '<div class="npd-gallery" style="--npd-size:{}px"><style>{}</style><p class="npd-head">{}</p>'
        '{}<div class="npd-grid">{}</div></div>'
    )
    shown = Markup().join(_tile(tile, colours, size) for tile in tiles)
    return str(gallery.format(size, _STYLE, title, _legend(tiles, colours), shown))


def _legend(tiles: Sequence[GalleryTile], colours: MarkColours) -> Markup:
    marks = [mark for tile in tiles for mark in tile.marks]
    entries = []
    for side in ("ground truth", "prediction"):
        if any(mark.side == side and mark.is_placed for mark in marks):
            dashes = Markup(' stroke-dasharray="{}"').format(DASHES) if side == "prediction" else ""
            entries.append(
                Markup(
                    '<svg width="26" height="14" aria-hidden="true"><rect x="2" y="2" width="22" height="10"'
                    ' fill="none" stroke="currentColor" stroke-width="2"{}/></svg>{}'
                ).format(dashes, side)
            )
    if colours.by == "match_type":
        seen = [kind for kind in MATCH_COLOURS if any(mark.match_type == kind for mark in marks)]
        entries += [_swatch(MATCH_COLOURS[kind]) + Markup("<b>{}</b> {}").format(kind, _MATCHES[kind]) for kind in seen]
    else:
        entries += [_swatch(colours.of_label(label)) + isolated(label) for label in colours.labels]
        others = len({label for mark in marks for label in mark.labels}) - len(colours.labels)
        if others:
            entries.append(_swatch(NEUTRAL) + f"{others} other label{'s' if others > 1 else ''}")
    items = Markup().join(map(Markup("<li>{}</li>").format, entries))
    return Markup('<ul class="npd-legend">{}</ul>').format(items) if items else items


def _swatch(colour: str) -> Markup:
    return Markup('<span class="npd-swatch" style="background:{}"></span>').format(colour)


def _tile(tile: GalleryTile, colours: MarkColours, size: int) -> Markup:
    figure = Markup('<figure class="npd-tile">{}<figcaption>{}</figcaption></figure>')
    return figure.format(_image(tile, colours, size), _caption(tile))


def _image(tile: GalleryTile, colours: MarkColours, size: int) -> Markup:
    if tile.source is None:
        return Markup(
            '<div class="npd-image npd-broken" style="width:{}px;height:{}px"><span>This image {}.</span></div>'
        ).format(size, size // 2, safe(cut(tile.reason)))
    style, stretched, over = f"width:{size}px", Markup(), Markup()
    if tile.size is not None:
        scale = size / max(tile.size)
        width, height = (max(round(side * scale), 1) for side in tile.size)
        style = f"position:relative;width:{width}px;aspect-ratio:{tile.size[0]}/{tile.size[1]}"
        stretched = Markup(' width="{}" height="{}" style="width:100%;height:100%"').format(width, height)
        over = drawing(tile.marks, tile.size, scale, colours) if tile.marks else over
    return Markup(
        '<div class="npd-image" style="{}"><img src="{}"{} alt="{}" decoding="async" loading="lazy"'
        ' referrerpolicy="no-referrer">{}</div>'
    ).format(style, safe(tile.source), stretched, safe(cut(tile.name)), over)


def _caption(tile: GalleryTile) -> Markup:
    named = Markup('<bdi class="{}" title="{}">{}</bdi>')
    note = Markup('<span class="npd-note">{}</span>')
    parts = [named.format("npd-name", safe(tile.name), safe(cut(tile.name)))]
    facts = [] if tile.size is None else [Markup("{} &times; {}").format(*tile.size)]
    facts += map(Markup.escape, _counted(tile.marks))
    if facts:
        parts.append(note.format(Markup(" · ").join(facts)))
    whole = [mark for mark in tile.marks if not mark.is_placed]
    parts += [note.format(Markup("{}: {}").format(described(mark), isolated(mark.label))) for mark in whole]
    if tile.metadata:
        words = safe(cut(tile.metadata, _LONGEST_WORDS))
        parts.append(named.format("npd-said", words, safe(cut(_said(tile.metadata)))))
    if tile.reason and tile.source is not None:
        words = safe(cut(tile.reason, _LONGEST_WORDS))
        parts.append(Markup('<span class="npd-warned">{}</span>').format(words))
    if tile.problems:
        count = len(tile.problems)
        words = safe(cut("\n".join(tile.problems), _LONGEST_WORDS))
        first = isolated(tile.problems[0])
        parts.append(
            Markup('<span class="npd-warned" title="{}">{} row{} not drawn: {}</span>').format(
                words, count, "s" if count > 1 else "", first
            )
        )
    return Markup().join(parts)


def _said(metadata: str) -> str:
    """Write the first level of metadata as a line."""
    parts = []
    for key, value in json.loads(metadata).items():
        parts.append(f"{key}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}")
    return ", ".join(parts)


def _counted(marks: Sequence[Mark]) -> list[str]:
    """Return the numbers of marks on an image."""
    placed = [mark for mark in marks if mark.is_placed]
    facts = []
    for side in ("ground truth", "prediction"):
        count = sum(mark.side == side for mark in placed)
        if count:
            facts.append(f"{count:,} {side if side == 'ground truth' or count == 1 else 'predictions'}")
    masks = sum(mark.source is not None for mark in placed)
    if len(placed) > (drawn := len(drawn_marks(placed)) + min(masks, MAX_MASKS)):
        facts.append(f"{drawn} drawn")
    return facts
