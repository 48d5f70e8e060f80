"""Checkpoints: one safetensors file, written whole or not at all; no pickle."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from dl.files import write_whole
from dl.tensor import Tensor

NOTE = "dl"  # the only note in a file (several would come in any order, and the same state in other bytes)


class CheckpointError(ValueError):
    """A checkpoint that cannot be trusted: truncated, changed, or not one of ours."""


def digest(arrays: Mapping[str, np.ndarray], text: str) -> str:
    """SHA-256 over the text of the metadata, and names, dtypes, shapes and bytes in the order of the names."""
    total = hashlib.sha256(f"{len(text)}|{text}|".encode())
    for name in sorted(arrays):
        a = np.ascontiguousarray(arrays[name])
        total.update(f"{name}|{a.dtype}|{a.shape}|".encode())
        total.update(a.tobytes())
    return total.hexdigest()


def checked_note(path: Path, notes: Mapping[str, str], arrays: Mapping[str, np.ndarray]) -> dict:
    """The metadata of a file; CheckpointError where it or the arrays are not what was saved."""
    try:
        note = json.loads(notes[NOTE])
        text, wanted = note["metadata"], note["sha256"]
    except (KeyError, TypeError, ValueError):
        raise CheckpointError(f"load: {path} carries no checksum: it was not written by dl.save") from None
    if not isinstance(text, str) or wanted != digest(arrays, text):
        raise CheckpointError(f"load: {path} was changed after it was saved (checksum differs); use an earlier one")
    return json.loads(text)


def plain(value, name: str) -> np.ndarray:
    array = value.array if isinstance(value, Tensor) else np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"save: '{name}' has dtype {array.dtype}; wanted numbers or bools")
    return np.ascontiguousarray(array).reshape(array.shape)


def save(path: str | os.PathLike, arrays: Mapping, metadata: Mapping | None = None):
    """Write named tensors or arrays and JSON-safe metadata to a safetensors file; the same state is the same bytes.

    The file appears under its name only when it is complete (temporary file, fsync, rename); if anything fails, what
    was there before is untouched. Raises TypeError for values that are no numbers, OSError where it cannot be written.
    """
    from safetensors.numpy import save as to_bytes

    found = {name: plain(value, name) for name, value in arrays.items()}
    text = json.dumps(dict(metadata or {}), sort_keys=True)
    note = json.dumps({"metadata": text, "sha256": digest(found, text)})
    write_whole(path, to_bytes(found, metadata={NOTE: note}))


def load(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict]:
    """The named arrays and the metadata of a checkpoint.

    Raises FileNotFoundError, and CheckpointError for a file that is truncated, was changed after saving, or carries no
    checksum of ours.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"load: there is no file {path}")
    try:
        with safe_open(path, framework="numpy") as file:
            notes = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"load: {path} is not a complete safetensors file ({error}); use an earlier one"
        ) from None
    return arrays, checked_note(path, notes, arrays)


def prefixed(prefix: str, arrays: Mapping) -> dict:
    """The same arrays under "prefix.name", for several state_dicts in one file."""
    return {f"{prefix}.{name}": value for name, value in arrays.items()}


def part(prefix: str, arrays: Mapping) -> dict:
    """The arrays saved under a prefix, without it. Raises KeyError that lists the prefixes there are."""
    found = {name[len(prefix) + 1 :]: value for name, value in arrays.items() if name.startswith(prefix + ".")}
    if not found:
        there = sorted({name.split(".")[0] for name in arrays})
        raise KeyError(f"checkpoint: nothing under '{prefix}'; there are {there}")
    return found
