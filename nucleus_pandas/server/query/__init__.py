"""The query language: a query is parsed by a grammar and compiled to an SQL condition with bound values."""

from nucleus_pandas.server.query.compiler import compile_query, mentions_of
from nucleus_pandas.server.query.fields import Mention, QueryTarget

__all__ = ["Mention", "QueryTarget", "compile_query", "mentions_of"]
