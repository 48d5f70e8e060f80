"""The operations: rows of one table (dl.ops.TABLE), and the functions that users call (they are in dl itself)."""

import importlib


def __getattr__(name: str):
    if name != "TABLE":
        raise AttributeError(f"module 'dl.ops' has no attribute {name!r}")
    return importlib.import_module("dl.ops.table").TABLE
