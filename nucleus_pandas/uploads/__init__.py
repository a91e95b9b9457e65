"""Send checked rows and account for each of them.

There are two protocols. An embedded Nucleus gets all rows in batches, and answers with the outcome of every row. So
does the hosted service for annotations and predictions; items it gets as one file, by a signed URL, processed by a job.
"""
