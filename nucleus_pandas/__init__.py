"""Nucleus, pandas-first."""
