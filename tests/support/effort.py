"""What a piece of work costs, in numbers that no other work on the machine changes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, ModuleType
from typing import Any

import numpy as np
import pytest


def count_calls(act: Callable[[], Any]) -> int:
    """Count the calls of functions, of Python and of C, that a piece of work makes in this thread."""
    calls = 0

    def count(frame: FrameType, event: str, arg: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        act()
    finally:
        sys.setprofile(None)
    return calls


class CountedNumpy(ModuleType):
    """NumPy, for a module to call, that counts the elements of what its functions give."""

    def __init__(self) -> None:
        super().__init__("numpy")
        self.elements = 0

    def __getattr__(self, name: str) -> Any:
        there = getattr(np, name)
        if isinstance(there, type) or not callable(there):
            return there

        def counted(*arguments: Any, **options: Any) -> Any:
            made = there(*arguments, **options)
            self.elements += getattr(made, "size", 0)
            return made

        return counted


@contextmanager
def decoded_pixels(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Note how many pixels each image has that is decoded."""
    from PIL import ImageFile

    sizes: list[int] = []
    load = ImageFile.ImageFile.load

    def noted(image: Any) -> Any:
        if image.tile:
            sizes.append(image.width * image.height)
        return load(image)

    with monkeypatch.context() as patch:
        patch.setattr(ImageFile.ImageFile, "load", noted)
        yield sizes
