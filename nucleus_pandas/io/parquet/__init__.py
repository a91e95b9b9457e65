"""Parquet files <-> Nucleus: datasets written into files that keep everything, and read from files of any size."""
