"""Operations that exist as kernels only, written out in operations that exporters know."""

from dl.ops.elementwise import where
from dl.ops.join import cat, pad_dims, stack
from dl.tensor import Tensor


def softmax(x: Tensor, *, dim: int) -> Tensor:
    e = (x - x.amax(dim, keepdim=True)).exp()
    return e / e.sum(dim, keepdim=True)


def log_softmax(x: Tensor, *, dim: int) -> Tensor:
    z = x - x.amax(dim, keepdim=True)
    return z - z.exp().sum(dim, keepdim=True).log()


def logsumexp(x: Tensor, *, dim, keepdim: bool = False) -> Tensor:
    top = x.amax(dim, keepdim=True)
    total = (x - top).exp().sum(dim, keepdim=True).log() + top
    return total if keepdim else total.squeeze(dim)


def conv2d(x: Tensor, w: Tensor, b: Tensor | None, *, stride, padding, dilation, groups, act=None) -> Tensor:
    """The sum over the taps of the kernel of shifted, strided images times a matrix of channels."""
    x = pad_dims(x, ((0, 0), (0, 0), (padding[0], padding[0]), (padding[1], padding[1])))
    parts = x.shape[1] // groups, w.shape[0] // groups
    made = [
        taps(x[:, g * parts[0] : (g + 1) * parts[0]], w[g * parts[1] : (g + 1) * parts[1]], stride, dilation)
        for g in range(groups)
    ]
    y = made[0] if groups == 1 else cat(made, dim=1)
    y = y if b is None else y + b.reshape(1, -1, 1, 1)
    return y.relu() if act in (1, "relu") else y


def taps(x: Tensor, w: Tensor, stride, dilation) -> Tensor:
    o, _, kh, kw = w.shape
    oh = (x.shape[2] - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    ow = (x.shape[3] - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    images = []
    for i in range(kh):
        for j in range(kw):
            rows = slice(i * dilation[0], i * dilation[0] + (oh - 1) * stride[0] + 1, stride[0])
            cols = slice(j * dilation[1], j * dilation[1] + (ow - 1) * stride[1] + 1, stride[1])
            images.append(x[:, :, rows, cols])
    n, c = x.shape[0], x.shape[1]
    patches = stack(images, dim=2).reshape(n, c * kh * kw, oh * ow)
    return (w.reshape(1, o, c * kh * kw) @ patches).reshape(n, o, oh, ow)


def gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1.0 + (x * 0.7071067811865476).erf())


def gelu_tanh(x: Tensor) -> Tensor:
    return 0.5 * x * (1.0 + (0.7978845608028654 * (x + 0.044715 * x * x * x)).tanh())


def linear_bias(g: Tensor) -> Tensor:
    return g.sum(0)


def tanh_backward(g: Tensor, y: Tensor) -> Tensor:
    return g * (1.0 - y * y)


def sigmoid_backward(g: Tensor, y: Tensor) -> Tensor:
    return g * (y * (1.0 - y))


def relu_backward(g: Tensor, y: Tensor) -> Tensor:
    return where(y > 0.0, g, 0.0)


FORMULAS = {
    "softmax": softmax,
    "log_softmax": log_softmax,
    "logsumexp": logsumexp,
    "conv2d": conv2d,
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "linear_bias": linear_bias,
    "tanh_backward": tanh_backward,
    "sigmoid_backward": sigmoid_backward,
    "relu_backward": relu_backward,
}
