"""Images with their annotations: frames in, HTML out."""

from nucleus_pandas.images.gallery.gallery import SIZE, Fetch, FrameSource, check_size, gallery
from nucleus_pandas.images.gallery.html import Gallery
from nucleus_pandas.images.gallery.svg import ColourBy

__all__ = ["Fetch", "FrameSource", "ColourBy", "Gallery", "SIZE", "check_size", "gallery"]
