"""Convolutions: conv2d and its two adjoints are the rows; conv1d and the transposed ones are written with them."""

from dl import conv_kernels as kernels
from dl.ops.rules import batch_size, expanded, folded, together
from dl.primitive import Primitive
from dl.tape import apply
from dl.tensor import Tensor


def conv_rule(needs, g, out, x, w, b, **how):
    return (
        apply(GRAD_INPUT, (g, w, None), {"shape": x.shape, **how}) if needs[0] else None,
        apply(GRAD_WEIGHT, (g, x), {"shape": w.shape, **how}) if needs[1] else None,
        apply(GRAD_BIAS, (g,)) if needs[2] else None,
    )


def affine_jvp(row):
    """conv2d and its adjoint in x are linear in each of their first two inputs; the bias is added."""

    def jvp(tangents, out, a, w, b, **how):
        da, dw, db = tangents
        if dw is not None:
            dy = apply(row(), (a, dw, db), how)
            return dy if da is None else dy + apply(row(), (da, w, None), how)
        if da is not None:
            return apply(row(), (da, w, db), how)
        return db.reshape(1, -1, 1, 1).expand(out.shape)

    return jvp


def input_rule(needs, h, out, g, w, b, *, shape, **how):
    """<grad_input(g, w), h> = <g, conv(h, w)>, so the derivatives are those of the convolution of h."""
    return (
        apply(CONV2D, (h, w, None), how) if needs[0] else None,
        apply(GRAD_WEIGHT, (g, h), {"shape": w.shape, **how}) if needs[1] else None,
        apply(GRAD_BIAS, (h,)) if needs[2] else None,
    )


def weight_rule(needs, v, out, g, x, *, shape, **how):
    """<grad_weight(g, x), v> = <g, conv(x, v)>."""
    dg = apply(CONV2D, (x, v, None), how) if needs[0] else None
    return dg, apply(GRAD_INPUT, (g, v, None), {"shape": x.shape, **how}) if needs[1] else None


def weight_jvp(tangents, out, g, x, **how):
    dg, dx = tangents
    first = None if dg is None else apply(GRAD_WEIGHT, (dg, x), how)
    second = None if dx is None else apply(GRAD_WEIGHT, (g, dx), how)
    return second if first is None else first if second is None else first + second


def side_by_side(t: Tensor, batched: bool, size: int) -> Tensor:
    """(B, N, C, H, W) -> (N, B C, H, W): each element of the batch has channels of its own."""
    t = expanded(t, batched, size).transpose(0, 1)
    return t.reshape(t.shape[0], t.shape[1] * t.shape[2], *t.shape[3:])


def apart(t: Tensor, size: int) -> Tensor:
    """(N, B C, H, W) -> (B, N, C, H, W)."""
    return t.reshape(t.shape[0], size, t.shape[1] // size, *t.shape[2:]).transpose(0, 1)


def wide(t: Tensor, batched: bool, size: int) -> Tensor:
    """Weights (B, O, C, h, w) -> (B O, C, h, w)."""
    return folded(expanded(t, batched, size))


def affine_batch(row):
    """The batching rule of conv2d and its adjoint in x.

    One weight: the batch joins N. A weight for each: each gets groups of its own. A bias for each is added.
    """

    def batch(batched, x, w, b, **how):
        size = batch_size(batched, (x, w, b))
        own = b is not None and batched[2]
        plain = None if own else b
        if batched[1]:
            more = grown(how, size, 1) | {"groups": how["groups"] * size}
            y = apart(apply(row(), (side_by_side(x, batched[0], size), wide(w, True, size), None), more), size)
            y = y if plain is None else y + plain.reshape(1, -1, 1, 1)
        elif batched[0]:
            y = apply(row(), (folded(x), w, plain), grown(how, size, 0))
            y = y.reshape(*x.shape[:2], *y.shape[1:])
        else:
            y = apply(row(), (x, w, plain), how)
        return y + b.reshape(size, 1, -1, 1, 1) if own else y

    return batch


def grown(how: dict, size: int, axis: int) -> dict:
    """The attributes with the result's shape, where they have it, larger along an axis."""
    if "shape" not in how:
        return how
    return how | {"shape": tuple([n * size if i == axis else n for i, n in enumerate(how["shape"])])}


def weight_batch(batched, g, x, *, shape, **how):
    size = batch_size(batched, (g, x))
    pair = side_by_side(g, batched[0], size), side_by_side(x, batched[1], size)
    more = how | {"groups": how["groups"] * size, "shape": (size * shape[0], *shape[1:])}
    return apply(GRAD_WEIGHT, pair, more).reshape(size, *shape)


CONV2D = Primitive(
    "conv2d",
    kernels.conv2d,
    vjp=conv_rule,
    jvp=affine_jvp(lambda: CONV2D),
    batch=affine_batch(lambda: CONV2D),
    saves=(0, 1),
)
GRAD_INPUT = Primitive(
    "conv2d_grad_input",
    kernels.conv2d_grad_input,
    vjp=input_rule,
    jvp=affine_jvp(lambda: GRAD_INPUT),
    batch=affine_batch(lambda: GRAD_INPUT),
    saves=(0, 1),
)
GRAD_WEIGHT = Primitive(
    "conv2d_grad_weight",
    kernels.conv2d_grad_weight,
    vjp=weight_rule,
    jvp=weight_jvp,
    batch=weight_batch,
    saves=(0, 1),
)
GRAD_BIAS = Primitive(
    "conv2d_grad_bias",
    kernels.conv2d_grad_bias,
    vjp=(lambda h, out, g: h.reshape(1, -1, 1, 1).expand(g.shape),),
    batch=lambda batched, g: g.sum((1, 3, 4)),
    saves=(),
    linear=True,
)


def ints(value, n: int, name: str, least: int = 0) -> tuple[int, ...]:
    """An int for all axes, or one for each; ValueError for others or smaller ones."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,) * n
    if len(values) != n or any(int(v) != v or v < least for v in values):
        raise ValueError(f"{name}: wanted an int of at least {least}, or {n} of them, got {value!r}")
    return tuple([int(v) for v in values])


def prepared(name: str, n: int, x, weight, bias, groups: int, transposed: bool):
    """The tensors with N in front and (H,) W behind, as conv2d wants them, and whether N was added."""
    x, weight, bias = together(x, weight, bias)
    given, alone = x, x.ndim == n + 1
    if alone:
        x = x.reshape(1, *x.shape)
    into, out = weight.shape[: 2 if weight.ndim == n + 2 else 0] or (0, 0)
    out, into = (out * groups, into) if transposed else (into, out * groups)
    axes, kernel = ("L", "k") if n == 1 else ("H, W", "kh, kw")
    fits = x.ndim == n + 2 and weight.ndim == n + 2 and x.shape[1] == into and groups > 0
    if not fits or (into if transposed else out) % groups or (bias is not None and bias.shape != (out,)):
        wanted = f"(in, out / groups, {kernel})" if transposed else f"(out, in / groups, {kernel})"
        raise ValueError(
            f"{name}: wanted x (N, in, {axes}), weight {wanted}, bias (out,) or None; got x {list(given.shape)}, "
            f"weight {list(weight.shape)}, bias {None if bias is None else list(bias.shape)}, groups {groups}"
        )
    return x, weight, bias, alone


def output_size(name: str, x: Tensor, kernel, stride, padding, dilation) -> tuple[int, ...]:
    """floor((n + 2 p - d (k - 1) - 1) / s) + 1 for each axis of space; ValueError where nothing is left."""
    n = len(kernel)
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    room = [size + 2 * p for size, p in zip(x.shape[-n:], padding, strict=True)]
    if any(r < s for r, s in zip(room, spans, strict=True)):
        raise ValueError(
            f"{name}: the kernel covers {spans} of x {list(x.shape)}, more than the {room} with padding {list(padding)}"
        )
    return tuple([(r - s) // t + 1 for r, s, t in zip(room, spans, stride, strict=True)])


def same_padding(x: Tensor, kernel, stride, dilation) -> Tensor:
    """x with zeros around it so that a convolution of stride 1 keeps its size; one more at the end where it is odd."""
    from dl.ops.join import pad

    if any(s != 1 for s in stride):
        raise ValueError(f"conv: padding 'same' needs stride 1, got {list(stride)}")
    sides: list[int] = []
    for k, d in zip(reversed(kernel), reversed(dilation), strict=True):
        sides += [d * (k - 1) // 2, d * (k - 1) - d * (k - 1) // 2]
    return pad(x, sides) if any(sides) else x


def convolve(name: str, n: int, x, weight, bias, stride, padding, dilation, groups: int) -> Tensor:
    x, weight, bias, alone = prepared(name, n, x, weight, bias, groups, False)
    stride, dilation = ints(stride, n, f"{name}: stride", 1), ints(dilation, n, f"{name}: dilation", 1)
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise ValueError(f"{name}: padding must be ints, 'same' or 'valid', got {padding!r}")
        x = same_padding(x, weight.shape[2:], stride, dilation) if padding == "same" else x
        padding = 0
    padding = ints(padding, n, f"{name}: padding")
    output_size(name, x, weight.shape[2:], stride, padding, dilation)
    if n == 1:
        x, weight = (t.reshape(*t.shape[:2], 1, t.shape[2]) for t in (x, weight))
        stride, padding, dilation = (1, *stride), (0, *padding), (1, *dilation)
    how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    y = apply(CONV2D, (x, weight, bias), how)
    y = y.reshape(*y.shape[:2], y.shape[3]) if n == 1 else y
    return y.reshape(y.shape[1:]) if alone else y


def conv1d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups: int = 1) -> Tensor:
    """y_nol = b_o + sum_ci w_oci x_nc(l s + i d - p): x (N, C, L) or (C, L), weight (O, C / groups, k).

    padding: zeros on each side, or "same" (stride 1) or "valid". Raises ValueError for sizes that do not fit.
    """
    return convolve("conv1d", 1, x, weight, bias, stride, padding, dilation, groups)


def conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups: int = 1) -> Tensor:
    """The same over two axes: x (N, C, H, W) or (C, H, W), weight (O, C / groups, kh, kw) -> (N, O, H', W').

    H' = floor((H + 2 p - d (kh - 1) - 1) / s) + 1. stride, padding, dilation: an int or one for H and one for W.
    """
    return convolve("conv2d", 2, x, weight, bias, stride, padding, dilation, groups)


def transposed(name: str, n: int, x, weight, bias, stride, padding, output_padding, groups: int, dilation) -> Tensor:
    x, weight, bias, alone = prepared(name, n, x, weight, bias, groups, True)
    stride, dilation = ints(stride, n, f"{name}: stride", 1), ints(dilation, n, f"{name}: dilation", 1)
    padding, extra = ints(padding, n, f"{name}: padding"), ints(output_padding, n, f"{name}: output_padding")
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation, strict=True)):
        raise ValueError(f"{name}: output_padding {list(extra)} must be smaller than stride or dilation")
    sizes = zip(x.shape[2:], stride, padding, dilation, weight.shape[2:], extra, strict=True)
    space = tuple([(size - 1) * s - 2 * p + d * (k - 1) + e + 1 for size, s, p, d, k, e in sizes])
    if min(space) < 1:
        raise ValueError(f"{name}: padding {list(padding)} leaves nothing of the result: {list(space)}")
    if n == 1:
        x, weight = (t.reshape(*t.shape[:2], 1, t.shape[2]) for t in (x, weight))
        stride, padding, dilation, space = (1, *stride), (0, *padding), (1, *dilation), (1, *space)
    how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    y = apply(GRAD_INPUT, (x, weight, bias), {"shape": (x.shape[0], weight.shape[1] * groups, *space), **how})
    y = y.reshape(*y.shape[:2], y.shape[3]) if n == 1 else y
    return y.reshape(y.shape[1:]) if alone else y


def conv_transpose1d(
    x, weight, bias=None, stride=1, padding=0, output_padding=0, groups: int = 1, dilation=1
) -> Tensor:
    """The adjoint of conv1d in x: x (N, C, L), weight (C, O / groups, k) -> (N, O, L').

    L' = (L - 1) s - 2 p + d (k - 1) + output_padding + 1.
    """
    return transposed("conv_transpose1d", 1, x, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(
    x, weight, bias=None, stride=1, padding=0, output_padding=0, groups: int = 1, dilation=1
) -> Tensor:
    """The adjoint of conv2d in x: x (N, C, H, W), weight (C, O / groups, kh, kw) -> (N, O, H', W')."""
    return transposed("conv_transpose2d", 2, x, weight, bias, stride, padding, output_padding, groups, dilation)


TABLE = {row.name: row for row in (CONV2D, GRAD_INPUT, GRAD_WEIGHT, GRAD_BIAS)}
