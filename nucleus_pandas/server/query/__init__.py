"""The query language: text, read by a grammar, becomes SQL in which every value is bound."""

from nucleus_pandas.server.query.compiler import compile_query
from nucleus_pandas.server.query.fields import Target

__all__ = ["Target", "compile_query"]
