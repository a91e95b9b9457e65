"""Evaluation on arrays and frames; knows neither client nor server."""
