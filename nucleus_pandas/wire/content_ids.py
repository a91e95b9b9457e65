"""Annotation ids computed from content, for client and embedded Nucleus alike.

An id depends on item key, type, label and geometry, for predictions also on the confidence, and on nothing else:
sending the same annotation twice changes nothing, correcting its metadata updates it. Numbers count as float64, so
1 and 1.0 agree, and -0.0 is 0.0.

Invariant: an id is a function of the sequence of words alone, always in the order item key, type, label, content (of
other types than box), numbers; a column-wise call and a call per object return the same id. Two 64-bit lanes start at
zero and absorb one word after the other, each followed by a bijective mix in the manner of MurmurHash3's finalizer
(https://github.com/aappleby/smhasher), so that two sequences of one length that differ in a single number always
differ in both lanes. Strings enter by the two halves of their 128-bit BLAKE2b digest, one per lane. Stored ids
depend on all of this, so it must not change. They do not protect against deliberate collisions.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from nucleus_pandas.wire.entities import AnyAnnotation, Box, Category, Labelled, Mask, MultiCategory

Words: TypeAlias = npt.NDArray[np.uint64]
"""Of shape (n, 2): the 128 bits of a hash."""

Coded: TypeAlias = tuple[npt.NDArray[np.integer[Any]], Words]
"""A column of strings: the code of each row, and the hashes of the distinct strings by code."""

_FIRST = (np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53), np.uint64(0x9E3779B97F4A7C15))
_SECOND = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB), np.uint64(0xD6E8FEB86659FD93))
_COMPUTED = re.compile(r"[0-9a-f]{32}(-[0-9]+)?", re.ASCII)
_SHIFT = np.uint64(32)
_BLOCK = 8_192  # rows whose columns stay in the processor's cache
_NO_CONFIDENCE = np.uint64(0x7FF8000000000001)  # a NaN: no confidence in [0, 1] has these bits


def is_computed(annotation_id: str) -> bool:
    """Return whether an annotation id looks like one that was computed from the content.

    Examples
    --------
    >>> is_computed("269a3f4a479501da7da9844c077409c4"), is_computed("269a3f4a479501da7da9844c077409c4-1")
    (True, True)
    >>> is_computed("box 7")
    False
    """
    return _COMPUTED.fullmatch(annotation_id) is not None


def is_repeat(computed_id: str | None) -> bool:
    """Return whether a computed id has an occurrence number, as that of an exact repeat has.

    Examples
    --------
    >>> is_repeat("269a3f4a479501da7da9844c077409c4"), is_repeat("269a3f4a479501da7da9844c077409c4-1")
    (False, True)
    """
    return computed_id is not None and "-" in computed_id


def box_ids(
    item_keys: Sequence[str],
    labels: Sequence[str],
    boxes: npt.ArrayLike,
    confidences: npt.ArrayLike | None = None,
) -> list[str]:
    """Compute the annotation ids of boxes.

    Parameters
    ----------
    item_keys, labels : sequence of str, length n
        The reference id (or item id) and the label of each box.
    boxes : array_like of float, shape (n, 4)
        x, y, width, height in pixels.
    confidences : array_like of float, shape (n,), optional
        NaN where a prediction has none. None for ground truth.

    Returns
    -------
    list of str
        32 hexadecimal digits each.

    Examples
    --------
    >>> box_ids(["a.jpg"], ["car"], [[1, 2, 3, 4]]) == box_ids(["a.jpg"], ["car"], [[1.0, 2.0, 3.0, 4.0]])
    True
    """
    sides = np.ascontiguousarray(np.asarray(boxes, dtype=np.float64).reshape(-1, 4).T)
    confidence = None if confidences is None else np.asarray(confidences, dtype=np.float64)
    return _id_strings(box_words(_coded(item_keys), _coded(labels), sides, confidence))


def string_words(strings: Iterable[str]) -> Words:
    """Return the hashes of strings."""
    return _digests(text.encode("utf-8", "surrogatepass") for text in strings)


def box_words(
    keys: Coded, labels: Coded, sides: npt.NDArray[np.float64], confidences: npt.NDArray[np.float64] | None
) -> Words:
    """Compute the annotation ids of boxes as numbers.

    Parameters
    ----------
    keys, labels : (codes of shape (n,), words of shape (m, 2))
        The code of each row, and what `string_words` returns for the distinct strings.
    sides : numpy.ndarray of shape (4, n), float64
        x, y, width and height in pixels.
    confidences : numpy.ndarray of shape (n,), float64, optional
        NaN where a prediction has none. None for ground truth.

    Returns
    -------
    numpy.ndarray of shape (n, 2), uint64
        What `hex_digits` formats.
    """
    numbers = [*sides] if confidences is None else [*sides, confidences]
    box = np.zeros(1, np.intp), string_words(["box"])
    return _mixed(len(keys[0]), [keys, (np.broadcast_to(box[0], len(keys[0])), box[1]), labels], numbers)


def hex_digits(words: Words) -> bytes:
    """Format each hash as 32 hexadecimal digits, concatenated.

    Examples
    --------
    >>> hex_digits(np.array([[1, 2]], np.uint64))
    b'01000000000000000200000000000000'
    """
    return words.astype("<u8").tobytes().hex().encode()


def fill_annotation_ids(
    annotations: Sequence[AnyAnnotation], *, predictions: bool, seen: dict[tuple[str, str], int] | None = None
) -> None:
    """Set the id of every annotation that has none, in place.

    Exact repeats within the sequence get an occurrence number, so that none is lost.

    Parameters
    ----------
    annotations : sequence of annotation
        Each must name its item.
    predictions : bool
        Whether the confidence belongs to the identity.
    seen : dict, optional
        How often each item key and id occurred before, where one call comes in several sequences; kept up to date.

    Examples
    --------
    >>> twice = [Category(label="rain", reference_id="a.jpg") for _ in range(2)]
    >>> fill_annotation_ids(twice, predictions=False)
    >>> twice[1].annotation_id == twice[0].annotation_id + "-1"
    True
    """
    ids: dict[int, str] = {}
    boxes = [a for a in annotations if a.annotation_id is None and isinstance(a, Box)]
    if boxes:
        geometry = [(b.geometry.x, b.geometry.y, b.geometry.width, b.geometry.height) for b in boxes]
        confidences = _confidences(boxes) if predictions else None
        computed = box_ids([_key(b) for b in boxes], [b.label for b in boxes], geometry, confidences)
        ids.update(zip(map(id, boxes), computed, strict=True))
    others = [a for a in annotations if a.annotation_id is None and not isinstance(a, Box)]
    if others:
        every = np.arange(len(others))
        coded = [
            _coded([_key(a) for a in others]),
            _coded([str(a.__struct_config__.tag) for a in others]),
            _coded([a.label if isinstance(a, Labelled) else "" for a in others]),
            (every, _digests(_canonical(a) for a in others)),
        ]
        numbers = [np.array(_confidences(others), dtype=np.float64)] if predictions else []
        computed = _id_strings(_mixed(len(others), coded, numbers))
        ids.update(zip(map(id, others), computed, strict=True))
    seen = {} if seen is None else seen
    for annotation in annotations:
        if annotation.annotation_id is None:
            key = (_key(annotation), ids[id(annotation)])
            count = seen.get(key, 0)
            seen[key] = count + 1
            annotation.annotation_id = f"{key[1]}-{count}" if count else key[1]


def _key(annotation: AnyAnnotation) -> str:
    return annotation.reference_id or annotation.item_id or ""


def _confidences(annotations: Iterable[AnyAnnotation]) -> list[float]:
    return [np.nan if a.confidence is None else a.confidence for a in annotations]


def _canonical(annotation: AnyAnnotation) -> bytes:
    if isinstance(annotation, Category):
        return _spell(annotation.taxonomy_name)
    if isinstance(annotation, MultiCategory):
        return _spell([annotation.taxonomy_name, annotation.labels])
    if isinstance(annotation, Mask):
        return _spell([annotation.mask_url, msgspec.to_builtins(annotation.annotations)])
    return _spell(msgspec.to_builtins(annotation.geometry))


def _spell(value: object) -> bytes:
    """Encode a plain value as bytes, equal values equally: numbers as float64, keys sorted, null members left out.

    Every string, list and object is preceded by its length, so that no two different values have the same bytes.
    """
    if value is None:
        return b"n"
    if isinstance(value, bool):
        return b"t" if value else b"f"
    if isinstance(value, (int, float)):
        return b"d" + struct.pack("<d", value + 0.0)
    if isinstance(value, str):
        text = value.encode("utf-8", "surrogatepass")
        return b"s" + len(text).to_bytes(8, "little") + text
    if isinstance(value, dict):
        parts = [_spell(str(key)) + _spell(value[key]) for key in sorted(value) if value[key] is not None]
        return b"{" + len(parts).to_bytes(8, "little") + b"".join(parts)
    if isinstance(value, (list, tuple)):
        return b"[" + len(value).to_bytes(8, "little") + b"".join(map(_spell, value))
    raise TypeError(f"{type(value).__name__} is not a JSON value.")


def _digests(texts: Iterable[bytes]) -> Words:
    digests = b"".join(blake2b(text, digest_size=16).digest() for text in texts)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64).reshape(-1, 2)


def _coded(texts: Sequence[str]) -> Coded:
    numbers: dict[str, int] = {}
    codes = np.fromiter((numbers.setdefault(text, len(numbers)) for text in texts), np.intp, len(texts))
    return codes, string_words(numbers)


def _mixed(count: int, coded: Sequence[Coded], numbers: Sequence[npt.NDArray[np.float64]]) -> Words:
    """Absorb columns of strings, then columns of numbers, block by block."""
    out = np.empty((count, 2), np.uint64)
    for start in range(0, count, _BLOCK):
        rows = slice(start, start + _BLOCK)
        words = [hashes[codes[rows]] for codes, hashes in coded]
        bits = [_bits(column[rows]) for column in numbers]
        for lane, constants in enumerate((_FIRST, _SECOND)):
            value = np.zeros(len(out[rows]), dtype=np.uint64)
            for word in words:
                value = _mix(value, word[:, lane], constants)
            for word in bits:
                value = _mix(value, word, constants)
            out[rows, lane] = value
    return out


def _bits(numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.uint64]:
    bits = (numbers + 0.0).view(np.uint64)  # -0.0 is 0.0
    missing = np.isnan(numbers)
    return np.where(missing, _NO_CONFIDENCE, bits) if missing.any() else bits


def _mix(
    lane: npt.NDArray[np.uint64], word: npt.NDArray[np.uint64], constants: tuple[np.uint64, np.uint64, np.uint64]
) -> npt.NDArray[np.uint64]:
    first, second, step = constants
    lane = (lane + step) ^ word
    lane ^= lane >> _SHIFT
    lane *= first
    lane ^= lane >> _SHIFT
    lane *= second
    lane ^= lane >> _SHIFT
    return lane


def _id_strings(words: Words) -> list[str]:
    digits = hex_digits(words).decode()
    return [digits[start : start + 32] for start in range(0, len(digits), 32)]
