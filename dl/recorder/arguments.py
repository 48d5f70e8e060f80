"""Arguments and results of recorded functions: nested tuples, lists and dicts with arrays and anything else in them."""

LEAF = "leaf"


def flatten(tree) -> tuple[list, object]:
    """The leaves in order and a hashable description of the nest; a leaf is whatever is no tuple, list or dict."""
    leaves: list = []
    return leaves, describe(tree, leaves)


def describe(tree, leaves: list):
    kind = type(tree)
    if kind is tuple or kind is list or isinstance(tree, tuple):
        return (kind, tuple([describe(v, leaves) for v in tree]))
    if kind is dict:
        return (dict, tuple([(k, describe(v, leaves)) for k, v in tree.items()]))
    leaves.append(tree)
    return LEAF


def unflatten(nest, leaves: list):
    """The nest with these leaves."""
    return rebuild(nest, iter(leaves))


def rebuild(nest, leaves):
    if nest is LEAF:
        return next(leaves)
    kind, parts = nest
    if kind is dict:
        return {k: rebuild(v, leaves) for k, v in parts}
    made = [rebuild(v, leaves) for v in parts]
    return kind(made) if kind in (tuple, list) else kind(*made)  # a named tuple takes its fields one by one
