"""Rows on their way out of the store: selections, exports, renderings."""
