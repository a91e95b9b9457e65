"""The routes of the page, which are on its blueprint as soon as they are imported."""

from flask import Flask

from nucleus_pandas.server.web.formatting import FILTERS
from nucleus_pandas.server.web.page import blueprint
from nucleus_pandas.server.web.routes import compare, datasets, examples, files, grid, item, login, run

MODULES = (compare, datasets, examples, files, grid, item, login, run)


def register(app: Flask) -> None:
    """Add the routes and templates of the page to an application."""
    app.jinja_env.filters.update(FILTERS)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.register_blueprint(blueprint)
