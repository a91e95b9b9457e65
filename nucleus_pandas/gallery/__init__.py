"""Pictures with what lies on them: frames in, HTML out."""

from nucleus_pandas.gallery.build import SIZE, Fetch, FrameSource, check_size, gallery
from nucleus_pandas.gallery.drawing import Colour
from nucleus_pandas.gallery.page import Gallery

__all__ = ["Colour", "Fetch", "FrameSource", "Gallery", "SIZE", "check_size", "gallery"]
