"""The query language: a query is parsed by a grammar and compiled to an SQL condition with bound values."""

from nucleus_pandas.server.query.compiler import compile_query
from nucleus_pandas.server.query.fields import QueryTarget

__all__ = ["QueryTarget", "compile_query"]
