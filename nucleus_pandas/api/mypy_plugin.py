"""A plugin for mypy, which otherwise takes ``df.nucleus`` for a column: pandas lets every name of a frame be one.

In the configuration of mypy: ``plugins = ["nucleus_pandas.api.mypy_plugin"]``. Pyright has no plugins, and a stub
cannot add a name to a class of another package; the functions, such as ``npd.append(df, dataset)``, are checked
everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy.nodes import MypyFile
    from mypy.plugin import AttributeContext, Plugin
    from mypy.types import Type

ACCESSOR = "nucleus_pandas.api.accessor"
OWNERS = ("pandas.core.frame.DataFrame", "pandas.core.generic.NDFrame")


def plugin(version: str) -> type[Plugin]:
    """Return the plugin, which declares the type of ``df.nucleus``, as mypy asks for it."""
    from mypy.plugin import Plugin  # which is there where mypy asks

    class NucleusPlugin(Plugin):
        """Declares the type of ``df.nucleus``."""

        def get_attribute_hook(self, fullname: str) -> Callable[[AttributeContext], Type] | None:
            """Return what decides on the type of an attribute."""
            owner, _, name = fullname.rpartition(".")
            return _accessor if name == "nucleus" and owner in OWNERS else None

    return NucleusPlugin


def _accessor(context: AttributeContext) -> Type:
    """Return the type of the accessor where the checked code imports this package."""
    from mypy.nodes import TypeInfo
    from mypy.types import Instance

    modules: Mapping[str, MypyFile] = getattr(context.api, "modules", {})
    module = modules.get(ACCESSOR)
    symbol = None if module is None else module.names.get("NucleusAccessor")
    info = None if symbol is None else symbol.node
    return Instance(info, []) if isinstance(info, TypeInfo) else context.default_attr_type
