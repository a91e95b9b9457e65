"""The version, in one place for setup.cfg and for the running package."""

__version__ = "0.1.0.dev0"
