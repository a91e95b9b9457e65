"""The durable store: functions on an open transaction, a module for each kind of row."""
