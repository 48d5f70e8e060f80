"""NumPy twins of what optimisers do in place: the same operations in the same order as in C, so the same bits.

step: how many steps were taken, 0-d int64, raised by one; lr: 0-d float64; then p, g, state... of each parameter.
"""

import numpy as np


def adam(step, lr, *tensors, betas, eps, weight_decay, decoupled):
    """m += (1 - b1) (g - m), v = b2 v + (1 - b2) g^2, p -= lr / (1 - b1^t) m / (sqrt(v) / sqrt(1 - b2^t) + eps)."""
    step += 1
    b1, b2 = betas
    t, rate = float(step), float(lr)
    bias, root = rate / (1 - b1**t), np.sqrt(1 - b2**t)
    for p, g, m, v in groups(tensors, 4):
        f = p.dtype.type
        old = p
        if decoupled:
            old = p * f(1 - rate * weight_decay)
        elif weight_decay:
            g = g + f(weight_decay) * p
        m += (g - m) * f(1 - b1)
        v[...] = v * f(b2) + f(1 - b2) * g * g
        p[...] = old - f(bias) * m / (np.sqrt(v) / f(root) + f(eps))
    return ()


def sgd(step, lr, *tensors, momentum, dampening, weight_decay, nesterov):
    """g += weight_decay p; with momentum b = momentum b + (1 - dampening) g (b = g at first) and g = b, or with
    nesterov g + momentum b; p -= lr g. b is among the tensors only where there is momentum.
    """
    first = step == 0
    step += 1
    for p, g, *state in groups(tensors, 3 if momentum else 2):
        f = p.dtype.type
        if weight_decay:
            g = g + f(weight_decay) * p
        for b in state:
            b[...] = b * f(0 if first else momentum) + f(1 if first else 1 - dampening) * g
            g = g + f(momentum) * b if nesterov else b
        p -= f(float(lr)) * g
    return ()


def rmsprop(step, lr, *tensors, alpha, eps, weight_decay, momentum, centered):
    """s = alpha s + (1 - alpha) g^2, p -= lr g / (sqrt(s) + eps); centered: s less the square of a mean a of g;
    momentum: b = momentum b + g / (...), p -= lr b. The tensors of a parameter: p, g, s, [a], [b].
    """
    step += 1
    for p, g, s, *state in groups(tensors, 3 + bool(centered) + bool(momentum)):
        f = p.dtype.type
        if weight_decay:
            g = g + f(weight_decay) * p
        s[...] = s * f(alpha) + f(1 - alpha) * g * g
        variance = s
        if centered:
            a = state[0]
            a += (g - a) * f(1 - alpha)
            variance = s - a * a
        g = g / (np.sqrt(variance) + f(eps))
        if momentum:
            b = state[-1]
            b[...] = b * f(momentum) + g
            g = b
        p -= f(float(lr)) * g
    return ()


def ema(decay, *tensors):
    """a += (1 - decay) (p - a) for each average a and parameter p."""
    for a, p in groups(tensors, 2):
        a += (p - a) * p.dtype.type(1 - float(decay))
    return ()


def grad_norm(*tensors):
    """The Euclidean norm of all tensors together, 0-d float64."""
    squares = (np.square(a, dtype=np.float64).sum() for a in tensors)
    return np.sqrt(np.asarray(sum(squares, 0.0)))


def scale_inplace(norm, *tensors, max_norm):
    """Every tensor times min(1, max_norm / (norm + 1e-6))."""
    factor = max_norm / (float(norm) + 1e-6)
    if not factor >= 1:
        for a in tensors:
            a *= a.dtype.type(factor)
    return ()


def groups(tensors, n: int):
    """The tensors, n at a time."""
    return zip(*[iter(tensors)] * n, strict=True)
