"""Checked rows on their way to the server, accounted for one by one.

Two protocols exist. In batches that are answered with what became of them go all rows to an embedded Nucleus, and
annotations and predictions to the hosted one. Items go to the hosted service as one file to a signed address, which a
job then works through.
"""
