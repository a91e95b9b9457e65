"""The REST contract as msgspec Structs: the one schema, for client and embedded Nucleus alike.

Only this package knows the JSON names of what is sent. What the server adds on the way back (``id``,
``dataset_item_id``, …) is written by ``nucleus_pandas.server``.
"""
