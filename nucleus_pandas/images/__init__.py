"""Images: their sizes, thumbnails, masks laid over them, and galleries of them in HTML."""
