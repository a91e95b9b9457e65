"""Helpers that know nothing of Nucleus: HTML text, threads, options, versions."""
