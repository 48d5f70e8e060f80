"""Cases of dl's table that move, pick, join and reduce."""

import numpy as np
from dl_table_cases import Case, row

import dl
from dl.creation import FULL
from dl.ops.join import pad
from dl.tape import apply

I23 = np.array([[0, 2, 1], [1, 1, 0]])
I2 = np.array([2, 0, 2])
MASK = np.array([[True, False, True], [False, True, True]])


def take_along(x):
    return np.take_along_axis(x, I23, 1)


def added_along(x, v):
    out = x.copy()
    np.add.at(out, (np.arange(2)[:, None], I23), v)
    return out


def put(index):
    def oracle(x, v):
        out = x.copy()
        out[index] = v
        return out

    return oracle


def setitem(index):
    """x[index] = v on a copy."""

    def f(x, v):
        y = x.clone()
        y[index] = v
        return y

    return f


def recorded_put(index):
    """The same where a gradient is wanted, so that it is the row index_put that runs."""
    return lambda x, v: apply(dl.ops.TABLE["index_put"], (x, v), {"index": index})


def unsliced(g):
    out = np.zeros((4, 3))
    out[1::2] = g
    return out.astype(g.dtype)


def on_diagonal(g):
    return np.stack([np.diag(r, 1) for r in g.reshape(-1, g.shape[-1])]).reshape(*g.shape[:-1], 4, 4)


def copied(x, v):
    y = x.clone()
    return y.copy_(v)


def put_in_place(x, v):
    y = x.detach().clone()
    y[np.array([0, 2]), 1:] = v.detach()
    return y


def summed_rows(g):
    return apply(dl.ops.TABLE["index_add"], (g, dl.from_numpy(I2)), {"dim": 0, "size": 3})[0]


SHAPES = [
    Case("reshape", lambda x: x.reshape(4, -1), lambda x: x.reshape(4, -1), ((2, 6),)),
    Case("reshape", lambda x: x.T.reshape(6), lambda x: x.T.reshape(6), ((2, 3),)),
    Case("reshape", lambda x: x.flatten(1), lambda x: x.reshape(2, 12), ((2, 3, 4),)),
    Case("reshape", lambda x: x.unflatten(1, (2, -1)), lambda x: x.reshape(2, 2, 3), ((2, 6),)),
    Case("reshape", lambda x: x.unsqueeze(-1).squeeze(0), lambda x: x[0, ..., None], ((1, 3, 1),)),
    Case("reshape", lambda x: x.reshape(0, 5), lambda x: x.reshape(0, 5), ((3, 0),)),
    Case("reshape", lambda x: x.reshape(1, 1), lambda x: x.reshape(1, 1), ((),)),
    Case("permute", lambda x: x.permute(2, 0, 1), lambda x: x.transpose(2, 0, 1), ((2, 3, 4),)),
    Case("permute", lambda x: x.transpose(0, -1), lambda x: x.swapaxes(0, -1), ((2, 3, 0),)),
    Case("permute", lambda x: x.T + x.mT, lambda x: x.T + x.T, ((3, 2),)),
    Case("permute", lambda x: dl.movedim(x, (0, 2), (1, 0)), lambda x: np.moveaxis(x, (0, 2), (1, 0)), ((2, 3, 4),)),
    Case("expand", lambda x: x.expand(2, 3, -1), lambda x: np.broadcast_to(x, (2, 3, 4)), ((3, 4),)),
    Case("expand", lambda x: x.broadcast_to((0, 3)), lambda x: np.broadcast_to(x, (0, 3)), ((1, 3),)),
    Case("expand", lambda x: x.repeat(2, 3), lambda x: np.tile(x, (2, 3)), ((4,),)),
    Case("expand", lambda x: x.tile(2), lambda x: np.tile(x, 2), ((3, 2),)),
    Case("expand", lambda x: x.repeat_interleave(2, 1), lambda x: np.repeat(x, 2, 1), ((2, 3),)),
    Case("take", lambda x: x.repeat_interleave(I2, 0), lambda x: np.repeat(x, I2, 0), ((3, 2),)),
    Case("expand", lambda x, y: dl.meshgrid(x, y)[1], lambda x, y: np.meshgrid(x, y, indexing="ij")[1], ((2,), (3,))),
    Case("permute", lambda x, y: dl.meshgrid(x, y, indexing="xy")[0], lambda x, y: np.meshgrid(x, y)[0], ((2,), (3,))),
    Case("diagonal", lambda x: dl.diagonal(x, 1, 0, 2), lambda x: np.diagonal(x, 1, 0, 2), ((4, 2, 3),)),
    Case("diagonal_grad", lambda x: dl.diag_embed(x, 1), on_diagonal, ((2, 3),)),
    Case("cat", lambda x, y: dl.cat([x, y, x], -1), lambda x, y: np.concatenate([x, y, x], -1), ((2, 3), (2, 0))),
    Case("stack", lambda x, y: dl.stack([x, y], 1), lambda x, y: np.stack([x, y], 1), ((2, 3), (2, 3))),
    Case("stack", lambda x, y: dl.stack([x, y], -1), lambda x, y: np.stack([x, y], -1), ((), ())),
    Case("cat", lambda x: dl.roll(x, 2, 1), lambda x: np.roll(x, 2, 1), ((2, 5),)),
    Case("cat", lambda x: dl.roll(x, -1), lambda x: np.roll(x, -1), ((2, 3),)),
    Case("cat", lambda x, y: dl.hstack([x, y]), lambda x, y: np.hstack([x, y]), ((2, 1), (2, 2))),
    Case("cat", lambda x, y: dl.vstack([x, y]), lambda x, y: np.vstack([x, y]), ((3,), (2, 3))),
    Case("getitem", lambda x: dl.cat(dl.split(x, 2)[::-1]), lambda x: np.concatenate([x[4:], x[2:4], x[:2]]), ((5,),)),
    Case("getitem", lambda x: dl.chunk(x, 2, 1)[1], lambda x: x[:, 3:], ((2, 5),)),
    Case("getitem", lambda x: dl.unbind(x, 1)[2], lambda x: x[:, 2], ((2, 3),)),
    Case("flip", lambda x: x.flip(0), lambda x: x[::-1], ((3, 2),)),
    Case("flip", lambda x: dl.flip(x), np.flip, ((3, 2),)),
    Case(
        "pad",
        lambda x: pad(x, (1, 2, 0, 3), value=2.0),
        lambda x: np.pad(x, ((0, 3), (1, 2)), constant_values=2),
        ((2, 3),),
    ),
    Case("getitem", lambda x: pad(x, (-1, 1)), lambda x: np.pad(x[:, 1:], ((0, 0), (0, 1))), ((2, 3),)),
    Case("take", lambda x: pad(x, (2, 1), "reflect"), lambda x: np.pad(x, ((0, 0), (2, 1)), "reflect"), ((2, 4),)),
    Case("take", lambda x: pad(x, (2, 1), "replicate"), lambda x: np.pad(x, ((0, 0), (2, 1)), "edge"), ((2, 2),)),
    Case("take", lambda x: pad(x, (2, 1), "circular"), lambda x: np.pad(x, ((0, 0), (2, 1)), "wrap"), ((2, 3),)),
    Case(
        "where",
        lambda x: dl.tril(x, -1) + 2 * dl.triu(x, 1),
        lambda x: np.tril(x, -1) + 2 * np.triu(x, 1),
        ((2, 3, 4),),
    ),
    Case(
        "full",
        lambda: apply(FULL, (), {"shape": (2, 3), "value": 7, "dtype": np.int64}),
        lambda: np.full((2, 3), 7),
        (),
        order=0,
    ),
]

INDEXING = [
    Case("getitem", lambda x: x[1], lambda x: x[1], ((3, 4),)),
    Case("getitem", lambda x: x[1, 2], lambda x: x[1, 2], ((3, 4),)),
    Case("getitem", lambda x: x[::-2, 1:], lambda x: x[::-2, 1:], ((5, 3),)),
    Case("getitem", lambda x: x[..., None, -1], lambda x: x[..., None, -1], ((2, 3, 4),)),
    Case("getitem", lambda x: x[5:2], lambda x: x[5:2], ((4, 2),)),
    Case("getitem", lambda x: x[()], lambda x: x[()], ((),)),
    Case("unslice", row("unslice", index=(slice(1, None, 2),), shape=(4, 3)), unsliced, ((2, 3),)),
    Case("take", lambda x: x[I23], lambda x: x[I23], ((3, 2),)),
    Case("index", lambda x: x[1:, I2], lambda x: x[1:, I2], ((3, 4),)),
    Case("index", lambda x: x[I2, :, [0, 1, 1]], lambda x: x[I2, :, [0, 1, 1]], ((3, 2, 4),)),
    Case("index", lambda x: x[I2, None, 1], lambda x: x[I2, None, 1], ((3, 2),)),
    Case("index", lambda x: x[MASK], lambda x: x[MASK], ((2, 3, 2),)),
    Case("index", lambda x: x[..., MASK[0]], lambda x: x[..., MASK[0]], ((2, 3),)),
    Case("take", lambda x: x[[]], lambda x: x[[]], ((2, 3),)),
    Case("take", lambda x: dl.index_select(x, 1, I2), lambda x: x[:, I2], ((2, 3),)),
    Case("take", lambda x: x[:, I23], lambda x: x[:, I23], ((2, 4, 2),)),
    Case("index_add", summed_rows, lambda g: added_rows(g, I2), ((3, 2),)),
    Case("index", lambda x: dl.masked_select(x, MASK), lambda x: x[MASK], ((2, 3),)),
    Case(
        "index_add_at",
        row("index_add_at", index=("array",), shape=(3, 2)),
        lambda g, i: added_rows(g, i),
        ((3, 2), ()),
        kinds=("f", I2),
    ),
    Case("index_put", recorded_put((slice(0, 2), 1)), put((slice(0, 2), 1)), ((3, 4), (2,))),
    Case(
        "index_put",
        lambda x, v: apply(dl.ops.TABLE["index_put"], (x, v, dl.from_numpy(I2)), {"index": ("array",)}),
        put(I2),
        ((3, 4), (3, 1)),
        tol=32,
    ),
    Case("index_put_", put_in_place, put((np.array([0, 2]), slice(1, None))), ((3, 4), (3,)), order=0),
    Case("copy_", copied, lambda x, v: np.broadcast_to(v, x.shape), ((3, 4), (4,))),
    Case("copy_", setitem((0, slice(1, None))), put((0, slice(1, None))), ((3, 4), (3,))),
    Case("index_put_", setitem((I2[:2], slice(None))), put((I2[:2], slice(None))), ((3, 4), (2, 4))),
    Case("copy_", setitem((MASK,)), put(MASK), ((2, 3), ())),
    Case("index_put_", setitem((MASK,)), put(MASK), ((2, 3), (4,))),
    Case(
        "last_writer",
        row("last_writer", index=("array",), shape=(3,)),
        lambda i: np.array([False, True, True]),
        ((3,),),
        kinds=(I2,),
        order=0,
    ),
    Case("nonzero", dl.nonzero, np.argwhere, ((3, 2),), kinds="b", order=0),
    Case("one_hot", lambda i: dl.one_hot(i, 4), lambda i: np.eye(4, dtype=int)[i], ((2, 3),), kinds=(I23,), order=0),
    Case("gather", lambda x: dl.gather(x, 1, I23), lambda x: take_along(x[:2]), ((3, 3),)),
    Case("gather", lambda x: dl.take_along_dim(x, I23, 1), lambda x: take_along(np.broadcast_to(x, (2, 3))), ((1, 3),)),
    Case("scatter_add", lambda x, v: dl.scatter_add(x, 1, I23, v), added_along, ((2, 4), (2, 3))),
    Case(
        "scatter_add",
        lambda x, v: dl.scatter_add(x, 1, I23, v),
        lambda x, v: added_along(x, v[:2, :3]),
        ((2, 4), (3, 4)),
    ),
    Case("scatter_add", lambda x, v: dl.index_add(x, 0, I2, v), lambda x, v: x + added_rows(v, I2), ((3, 2), (3, 2))),
    Case("scatter", lambda x, v: dl.scatter(x, 1, I23[:, :2], v), lambda x, v: scattered(x, v), ((2, 4), (2, 2))),
    Case(
        "scatter_last",
        row("scatter_last", dim=1, size=3),
        lambda i: np.array([[True, True, True], [False, True, True]]),
        ((2, 3),),
        kinds=(I23,),
        order=0,
    ),
    Case("where", lambda x: dl.masked_fill(x, MASK, 3.0), lambda x: np.where(MASK, x.dtype.type(3), x), ((2, 3),)),
]


def added_rows(g, i):
    out = np.zeros((3, 2))
    np.add.at(out, i, g)
    return out.astype(g.dtype)


def scattered(x, v):
    out = x.copy()
    np.put_along_axis(out, I23[:, :2], v, 1)
    return out


DIMS = [(None, False), (0, False), (-1, True), ((0, 2), False), (None, True)]
REDUCED = ((2, 3, 4),)
EMPTY = ((2, 0, 3),)


def reductions() -> list[Case]:
    made = []
    for d, keep in DIMS:
        how = {"axis": d, "keepdims": keep}
        for name, f, oracle in (
            ("sum", dl.sum, np.sum),
            ("sum", dl.mean, np.mean),
            ("prod", dl.prod, np.prod),
            ("amax", dl.amax, np.max),
            ("amin", dl.amin, np.min),
            ("sum", dl.var, lambda x, **kw: np.var(x, ddof=1, **kw)),
            ("sum", dl.std, lambda x, **kw: np.std(x, ddof=1, **kw)),
            ("sum", dl.norm, lambda x, **kw: np.sqrt(np.sum(x * x, **kw))),
        ):
            f2 = lambda x, f=f, d=d, keep=keep: f(x, dim=d, keepdim=keep)  # noqa: E731
            made.append(Case(name, f2, lambda x, o=oracle, how=how: o(x, **how), REDUCED, tol=64))
        for name, f, oracle in (("any", dl.any, np.any), ("all", dl.all, np.all)):
            f2 = lambda x, f=f, d=d, keep=keep: f(x, d, keep)  # noqa: E731
            made.append(Case(name, f2, lambda x, o=oracle, how=how: o(x, **how), REDUCED, kinds="b", order=0))
    return made


REDUCTIONS = [
    *reductions(),
    Case("sum", dl.sum, np.sum, ((),)),
    Case("sum", lambda x: dl.sum(x, 1), lambda x: x.sum(1), EMPTY),
    Case("sum", dl.sum, np.sum, ((3, 4),), kinds="b", order=0),
    Case("sum", dl.count_nonzero, np.count_nonzero, ((3, 4),), kinds="i", order=0),
    Case("prod", lambda x: dl.prod(x, 1), lambda x: x.prod(1), EMPTY),
    Case("prod", lambda x: dl.prod(x * [1, 0, 1, 0], 1), lambda x: (x * [1, 0, 1, 0]).prod(1), ((2, 4),), order=0),
    Case("abs", lambda x: dl.norm(x, 1, 0), lambda x: np.abs(x).sum(0), ((3, 2),)),
    Case("amax", lambda x: dl.norm(x, np.inf, 0), lambda x: np.abs(x).max(0), ((3, 2),)),
    Case("pow", lambda x: dl.norm(x, 3, 0), lambda x: (np.abs(x) ** 3).sum(0) ** (1 / 3), ((3, 2),), tol=64),
    Case("mse_loss", row("mse_loss"), lambda x, y: np.square(x - y).mean(), ((3, 4), (3, 4)), tol=16),
    Case("mse_loss", row("mse_loss"), lambda x, y: np.square(x - y).mean(), ((), ())),
    Case("argmax", dl.argmax, np.argmax, ((3, 4),), order=0),
    Case("argmax", lambda x: dl.argmax(x, 1, True), lambda x: np.argmax(x, 1, keepdims=True), ((3, 4),), order=0),
    Case("argmin", lambda x: dl.argmin(x, 0), lambda x: np.argmin(x, 0), ((3, 4),), order=0),
    Case("gather", lambda x: dl.max(x, 1).values, lambda x: x.max(1), ((3, 4),)),
    Case("gather", lambda x: dl.min(x, 0, True).values, lambda x: x.min(0, keepdims=True), ((3, 4),)),
    Case("cumsum", lambda x: dl.cumsum(x, 1), lambda x: x.cumsum(1), ((2, 5, 2),)),
    Case("cumsum", lambda x: dl.cumsum(x, 0), lambda x: x.cumsum(0), ((0, 2),)),
    Case("cumprod", lambda x: dl.cumprod(x, 1), lambda x: x.cumprod(1), ((2, 4),), 0.3, 2),
    Case("getitem", lambda x: dl.diff(x, 2), lambda x: np.diff(x, 2), ((2, 5),)),
    Case("argsort", lambda x: dl.argsort(x, 0), lambda x: np.argsort(x, 0), ((5, 2),), order=0),
    Case(
        "argsort",
        lambda x: dl.argsort(x, 0, True),
        lambda x: np.argsort(-x, 0, kind="stable"),
        ((5, 2),),
        kinds="i",
        order=0,
    ),
    Case("argsort", lambda x: dl.sort(x, -1).values, lambda x: np.sort(x, -1), ((2, 5),)),
    Case("argsort", lambda x: dl.sort(x, 0, True).values, lambda x: -np.sort(-x, 0), ((4, 2),)),
    Case("topk_indices", lambda x: dl.topk(x, 2).values, lambda x: -np.sort(-x, -1)[:, :2], ((3, 5),)),
    Case("topk_indices", lambda x: dl.topk(x, 2, 0, False).indices, lambda x: np.argsort(x, 0)[:2], ((5, 2),), order=0),
    Case("argsort", lambda x: dl.median(x, 1).values, lambda x: np.sort(x, 1)[:, 1], ((2, 4),)),
]
