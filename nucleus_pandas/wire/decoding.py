"""Decode JSON bytes and plain objects to Structs, with errors that name the path of an invalid value."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec

from nucleus_pandas.errors import ValidationError
from nucleus_pandas.wire.entities import Annotation

T = TypeVar("T")

_prepared: set[Any] = set()
_preparing = threading.Lock()


def _renew_lock() -> None:
    global _preparing
    _preparing = threading.Lock()  # another thread may have held it when this process was forked


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def prepared(shape: type[T]) -> type[T]:
    """Return a shape after msgspec has built what it decodes the shape with.

    msgspec builds the field types of a Struct when a decoder for it is first created, and caches them on the class.
    With msgspec 0.19 to 0.22, a second thread that decodes the same class meanwhile crashes the process with a
    segmentation fault; 0.23 passed the test below. To reproduce: set ``sys.setswitchinterval(1e-6)``, create nested
    Structs of 20 fields, and let 8 threads wait at a barrier and then decode the outer one by msgspec alone; else as
    ``test_structs_are_read_first_by_several_threads_at_once`` does. (msgspec states that its functions are thread-safe:
    https://github.com/msgspec/msgspec/issues/401.) The lock lets one thread create the first decoder of each shape.
    """
    if shape not in _prepared:
        with _preparing:
            msgspec.json.Decoder(shape)
            _prepared.add(shape)
    return shape


def decode(body: bytes | memoryview, shape: type[T], place: str = "The request's body") -> T:
    """Read JSON as one of the Structs.

    Parameters
    ----------
    body : bytes
        UTF-8 encoded JSON.
    shape : type
        The type of the result.
    place : str
        What an error calls the body.

    Raises
    ------
    ValidationError
        The body is not JSON, or not of that shape; the text ends with the path of the offending value.

    Examples
    --------
    >>> from nucleus_pandas.wire.requests import CreateDataset
    >>> decode(b'{"name": 7}', CreateDataset)
    Traceback (most recent call last):
        ...
    nucleus_pandas.errors.ValidationError: The request's body is invalid: expected `str`, got `int` - at `$.name`.
    """
    if not len(body):
        raise ValidationError(f"{place} is empty; it must be JSON.")
    try:
        return msgspec.json.decode(body, type=prepared(shape))
    except msgspec.ValidationError as error:
        raise ValidationError(f"{place} is invalid: {_sentence(error)}") from None
    except msgspec.DecodeError as error:
        raise ValidationError(f"{place} is not valid JSON: {_sentence(error)}") from None
    except UnicodeDecodeError:
        raise ValidationError(f"{place} is not UTF-8 text.") from None
    except RecursionError:
        raise ValidationError(f"{place} is nested too deeply.") from None


def convert(value: object, shape: type[T], place: str = "The payload", path: str = "$") -> T:
    """Check plain Python objects against one of the Structs, as `decode` does for bytes.

    Parameters
    ----------
    value : object
        Dicts, lists, text, numbers.
    shape : type
        The type of the result.
    place : str
        What an error calls the value.
    path : str
        Its path in a larger value.

    Raises
    ------
    ValidationError
        The value is not of that shape; the text ends with the path of the offending value.
    """
    try:
        return msgspec.convert(value, type=prepared(shape))
    except msgspec.ValidationError as error:
        raise ValidationError(f"{place} is invalid: {_sentence(error, path)}") from None
    except RecursionError:
        raise ValidationError(f"{place} is nested too deeply - at `{path}`.") from None


def _sentence(error: Exception, path: str = "$") -> str:
    text = str(error)
    if path != "$":
        text = text.replace(" - at `$", f" - at `{path}") if " - at `$" in text else f"{text} - at `{path}`"
    return (text[0].lower() if text[1:2].islower() else text[0]) + text[1:] + "."


def item_key(annotation: Annotation, place: str) -> tuple[bool, str]:
    """Return the key by which an annotation names its item.

    Returns
    -------
    (bool, str)
        True for a reference id, False for an item id; and the key.

    Raises
    ------
    ValidationError
        The annotation holds both keys, or neither.

    Examples
    --------
    >>> from nucleus_pandas.wire.entities import Category
    >>> item_key(Category(label="rain", reference_id="a.jpg"), "$.annotations[0]")
    (True, 'a.jpg')
    """
    if annotation.reference_id is not None and annotation.item_id is None:
        return True, annotation.reference_id
    if annotation.item_id is not None and annotation.reference_id is None:
        return False, annotation.item_id
    count = "neither is" if annotation.item_id is None else "both are"
    raise ValidationError(
        f"An annotation names its item by exactly one of `reference_id` and `item_id`; {count} given - at `{place}`."
    )


@contextmanager
def uncollected() -> Iterator[None]:
    """Pause the garbage collector, which would traverse all objects again and again while more are created."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
