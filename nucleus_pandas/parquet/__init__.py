"""Parquet files <-> Nucleus, row group by row group."""
