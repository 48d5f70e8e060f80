"""Nested tuples, lists and dicts of tensors as flat lists, and back."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dl.ops.base import as_tensor
from dl.tensor import Tensor

Spec = tuple  # ("leaf",), ("none",), ("as it is", value) or (kind, keys or None, (spec of each child, ...))
LEAF, NONE = ("leaf",), ("none",)


def flatten(tree, where: str = "dl", *, strict: bool = True) -> tuple[list[Tensor], Spec]:
    """The tensors of a tree in order (dicts in their own order) and its structure.

    Numbers and NumPy arrays become tensors; None is an empty tree. Raises TypeError for anything else, naming `where`;
    with strict=False whatever is no tensor stays as it is, in the structure.
    """
    leaves: list[Tensor] = []
    return leaves, _flatten(tree, leaves, where if strict else None)


def _flatten(tree, leaves: list, where: str | None) -> Spec:
    if isinstance(tree, Tensor):
        leaves.append(tree)
        return LEAF
    if tree is None:
        return NONE
    if isinstance(tree, dict):
        return (dict, tuple(tree), tuple(_flatten(v, leaves, where) for v in tree.values()))
    if isinstance(tree, (tuple, list)):
        return (type(tree), None, tuple(_flatten(v, leaves, where) for v in tree))
    if where is None:
        return ("as it is", tree)
    if isinstance(tree, (int, float, np.ndarray, np.generic)):
        leaves.append(as_tensor(tree))
        return LEAF
    raise TypeError(
        f"{where}: wanted tensors in nested tuples, lists or dicts, got {type(tree).__name__}; pass what is no tensor "
        "through a closure or functools.partial"
    )


def unflatten(spec: Spec, leaves: Sequence) -> Any:
    """The tree of this structure with these leaves (of any kind)."""
    return _unflatten(spec, iter(leaves))


def _unflatten(spec: Spec, leaves):
    if spec is LEAF:
        return next(leaves)
    if spec is NONE:
        return None
    if spec[0] == "as it is":
        return spec[1]
    kind, keys, children = spec
    made = [_unflatten(child, leaves) for child in children]
    if keys is not None:
        return dict(zip(keys, made, strict=True))
    if kind in (tuple, list):
        return kind(made)
    return kind(*made)  # a named tuple


def tree_map(function: Callable, *trees) -> Any:
    """function applied to the leaves of trees of one structure."""
    leaves, spec = flatten(trees[0], "tree_map")
    others = [matching(tree, spec, "tree_map") for tree in trees[1:]]
    return unflatten(spec, [function(*row) for row in zip(leaves, *others, strict=True)])


def matching(tree, spec: Spec, where: str) -> list[Tensor]:
    """The leaves of a tree that must have this structure. Raises ValueError with both structures."""
    leaves, got = flatten(tree, where)
    if got != spec:
        raise ValueError(f"{where}: wanted the structure {describe(spec)}, got {describe(got)}")
    return leaves


def describe(spec: Spec) -> str:
    """A structure as text: * for a leaf."""
    if spec == LEAF:
        return "*"
    if spec == NONE:
        return "None"
    if spec[0] == "as it is":
        return type(spec[1]).__name__
    kind, keys, children = spec
    inner = [describe(child) for child in children]
    if keys is not None:
        return "{" + ", ".join(f"{k!r}: {v}" for k, v in zip(keys, inner, strict=True)) + "}"
    text = ", ".join(inner) + ("," if kind is not list and len(inner) == 1 else "")
    if kind is list:
        return f"[{text}]"
    return f"({text})" if kind is tuple else f"{kind.__name__}({text})"
