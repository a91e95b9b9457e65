"""Rows on their way into the store: checked against their dataset, then written."""
