"""The whole page, to be added to an application."""

from nucleus_pandas.server.web.page import MAX_FORM, blueprint, install, is_page, problem, register
from nucleus_pandas.server.web.routes import compare, datasets, examples, files, grid, item, login, run, slices

__all__ = ["MAX_FORM", "ROUTES", "blueprint", "install", "is_page", "problem", "register"]

ROUTES = (compare, datasets, examples, files, grid, item, login, run, slices)
"""The modules that put their routes on the blueprint when they are imported."""
