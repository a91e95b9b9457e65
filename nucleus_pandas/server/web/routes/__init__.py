"""Routes of the web page."""
