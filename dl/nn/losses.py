"""Losses as modules: functions of dl.functional with their arguments."""

from dl import functional as F
from dl.nn.module import Module
from dl.ops.base import as_tensor
from dl.tensor import Tensor


class MSELoss(Module):
    """(x - y)^2."""

    def __init__(self, reduction: str = "mean"):
        self.reduction = reduction

    def forward(self, input, target) -> Tensor:
        return F.mse_loss(input, target, self.reduction)


class L1Loss(Module):
    """|x - y|."""

    def __init__(self, reduction: str = "mean"):
        self.reduction = reduction

    def forward(self, input, target) -> Tensor:
        return F.l1_loss(input, target, self.reduction)


class HuberLoss(Module):
    """Square near 0, linear beyond delta; see F.huber_loss."""

    def __init__(self, reduction: str = "mean", delta: float = 1.0):
        self.reduction, self.delta = reduction, delta

    def forward(self, input, target) -> Tensor:
        return F.huber_loss(input, target, self.reduction, self.delta)


class SmoothL1Loss(Module):
    """Huber's loss with slope 1; see F.smooth_l1_loss."""

    def __init__(self, reduction: str = "mean", beta: float = 1.0):
        self.reduction, self.beta = reduction, beta

    def forward(self, input, target) -> Tensor:
        return F.smooth_l1_loss(input, target, self.reduction, self.beta)


class QuantileLoss(Module):
    """The pinball loss of the q-quantile; see F.quantile_loss."""

    def __init__(self, q, reduction: str = "mean"):
        self.q, self.reduction = q, reduction

    def forward(self, input, target) -> Tensor:
        return F.quantile_loss(input, target, self.q, self.reduction)


class CrossEntropyLoss(Module):
    """-log softmax at the target; see F.cross_entropy."""

    def __init__(self, weight=None, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0):
        self.register_buffer("weight", None if weight is None else as_tensor(weight))
        self.ignore_index, self.reduction, self.label_smoothing = ignore_index, reduction, label_smoothing

    def forward(self, input, target) -> Tensor:
        how = (self.ignore_index, self.reduction, self.label_smoothing)
        return F.cross_entropy(input, target, self.weight, *how)


class NLLLoss(Module):
    """-x at the target, of log-probabilities; see F.nll_loss."""

    def __init__(self, weight=None, ignore_index: int = -100, reduction: str = "mean"):
        self.register_buffer("weight", None if weight is None else as_tensor(weight))
        self.ignore_index, self.reduction = ignore_index, reduction

    def forward(self, input, target) -> Tensor:
        return F.nll_loss(input, target, self.weight, self.ignore_index, self.reduction)


class BCEWithLogitsLoss(Module):
    """Cross-entropy of yes and no from logits; see F.binary_cross_entropy_with_logits."""

    def __init__(self, weight=None, reduction: str = "mean", pos_weight=None):
        self.register_buffer("weight", None if weight is None else as_tensor(weight))
        self.register_buffer("pos_weight", None if pos_weight is None else as_tensor(pos_weight))
        self.reduction = reduction

    def forward(self, input, target) -> Tensor:
        how = (self.weight, self.reduction, self.pos_weight)
        return F.binary_cross_entropy_with_logits(input, target, *how)


class BCELoss(Module):
    """Cross-entropy of yes and no from probabilities; see F.binary_cross_entropy."""

    def __init__(self, weight=None, reduction: str = "mean"):
        self.register_buffer("weight", None if weight is None else as_tensor(weight))
        self.reduction = reduction

    def forward(self, input, target) -> Tensor:
        return F.binary_cross_entropy(input, target, self.weight, self.reduction)


class KLDivLoss(Module):
    """y (log y - x); see F.kl_div."""

    def __init__(self, reduction: str = "mean", log_target: bool = False):
        self.reduction, self.log_target = reduction, log_target

    def forward(self, input, target) -> Tensor:
        return F.kl_div(input, target, self.reduction, log_target=self.log_target)


class GaussianNLLLoss(Module):
    """(log v + (x - y)^2 / v) / 2; see F.gaussian_nll_loss."""

    def __init__(self, full: bool = False, eps: float = 1e-6, reduction: str = "mean"):
        self.full, self.eps, self.reduction = full, eps, reduction

    def forward(self, input, target, var) -> Tensor:
        return F.gaussian_nll_loss(input, target, var, self.full, self.eps, self.reduction)


class InfoNCELoss(Module):
    """Contrast of each query's positive with the others; see F.info_nce_loss."""

    def __init__(self, temperature: float = 0.1, reduction: str = "mean"):
        self.temperature, self.reduction = temperature, reduction

    def forward(self, query, positive, negatives=None) -> Tensor:
        return F.info_nce_loss(query, positive, negatives, self.temperature, self.reduction)
