"""The whole page, to be added to an application."""

from nucleus_pandas.local.web.page import MAX_FORM, blueprint, install, is_page, problem
from nucleus_pandas.local.web.routes import compare, datasets, examples, files, grid, item, login, run, runs, slices

__all__ = ["MAX_FORM", "ROUTES", "blueprint", "install", "is_page", "problem"]

ROUTES = (compare, datasets, examples, files, grid, item, login, run, runs, slices)
"""The modules that put their routes on the blueprint when they are imported."""
