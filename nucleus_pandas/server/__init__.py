"""The embedded Nucleus: a durable store with the REST API of Nucleus, in process or as a server.

>>> from nucleus_pandas import NucleusClient
>>> with NucleusClient.local() as client:
...     client.list_datasets()
[]
"""

from nucleus_pandas.server.serving import create_app, serve

__all__ = ["create_app", "serve"]
