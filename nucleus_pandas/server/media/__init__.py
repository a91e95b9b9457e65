"""Image files: kept by content, and their thumbnails."""
