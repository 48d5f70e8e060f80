"""Small trainings from scratch that only work when everything below them does; each is under a minute."""

import time

import numpy as np
import pytest

import dl
from dl import functional as F
from dl import nn, optim

pytestmark = pytest.mark.slow
MOST = 60.0  # [s]


def trainer(model, loss_of, lr, weight_decay=0.0):
    opt = optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay)

    @dl.jit
    def step(*batch):
        opt.zero_grad()
        loss = loss_of(*batch)
        loss.backward()
        optim.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        return loss

    return opt, step


def test_an_mlp_reads_digits():
    """scikit-learn's 1797 digits of 8 x 8 pixels: at least 97 % of a held-out fifth."""
    datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed: pip install scikit-learn")
    begin = time.perf_counter()
    pixels, label = datasets.load_digits(return_X_y=True)
    g = dl.Generator(0)
    order = g.permutation(len(label)).numpy()
    x, y = (pixels[order] / 16).astype(np.float32), label[order].astype(np.int64)
    cut = len(y) * 4 // 5
    net = nn.MLP((64, 128, 128, 10), activation=nn.ReLU, generator=g)
    _, step = trainer(net, lambda x, y: F.cross_entropy(net(x), y), 2e-3, 1e-2)
    for _ in range(40):
        for rows in np.array_split(g.permutation(cut).numpy(), cut // 64):
            if len(rows) >= 64:
                step(x[rows[:64]], y[rows[:64]])
    with dl.no_grad():
        found = net(dl.from_numpy(x[cut:])).argmax(-1).numpy()
    assert (found == y[cut:]).mean() >= 0.97
    assert time.perf_counter() - begin < MOST


def stratified(g, n):
    """n numbers, one in each n-th of [0, 1): what is averaged over them varies less."""
    return ((np.arange(n) + g.uniform(n).numpy()) / n).astype(np.float32)


def test_a_flow_model_finds_both_modes():
    """Trajectories that go round an obstacle on the left (70 %) or on the right: masses within 0.05, few in between."""
    begin, T = time.perf_counter(), 16
    g = dl.Generator(1)
    bump = np.sin(np.linspace(0, np.pi, T)).astype(np.float32)
    net = nn.TemporalUNet(1, widths=(32, 64), groups=8, generator=g)

    def loss_of(x1, x0, t):
        x = t.reshape(-1, 1, 1) * x1 + (1.0 - t.reshape(-1, 1, 1)) * x0
        return F.mse_loss(net(x, t), x1 - x0)

    opt, step = trainer(net, loss_of, 1e-3)
    schedule, ema = optim.CosineLR(opt, 800, warmup=50), optim.EMA(net.parameters(), decay=0.99)
    for _ in range(800):
        side = np.where(stratified(g, 128) < 0.7, -1.0, 1.0).astype(np.float32)
        x1 = side[:, None, None] * bump + 0.02 * g.normal(128, 1, T).numpy()
        step(x1, g.normal(128, 1, T).numpy(), g.permutation(128).numpy() / np.float32(128) + stratified(g, 1)[0] / 128)
        schedule.step()
        ema.update()
    ema.swap()
    x = g.normal(2000, 1, T).numpy()
    velocity = dl.jit(net)
    with dl.no_grad():
        for k in range(30):
            x = x + velocity(x, np.full(2000, k / 30, np.float32)) / 30
    middle = x[:, 0] @ bump / (bump @ bump)
    left, right = (np.abs(middle + 1) < 0.3).mean(), (np.abs(middle - 1) < 0.3).mean()
    assert abs(left - 0.7) < 0.05 and abs(right - 0.3) < 0.05, (left, right)
    assert time.perf_counter() - begin < MOST


def test_a_transformer_copies():
    """Two layers read 8 symbols and a mark and write them again: cross-entropy under 0.01."""
    begin, n, vocabulary, d = time.perf_counter(), 8, 12, 64
    g = dl.Generator(2)

    class Copier(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(vocabulary + 1, d, generator=g)
            self.place = nn.LearnedPositionalEncoding(d, 2 * n, batch_first=True, generator=g)
            layer = dict(dropout=0.0, norm_first=True, batch_first=True, generator=g)
            self.layers = nn.ModuleList([nn.TransformerEncoderLayer(d, 4, 128, **layer) for _ in range(2)])
            self.head = nn.Linear(d, vocabulary, generator=g)

        def forward(self, tokens):
            x = self.place(self.embed(tokens))
            for layer in self.layers:
                x = layer(x, is_causal=True)
            return self.head(x)

    net = Copier()

    def loss_of(tokens, wanted):
        return F.cross_entropy(net(tokens)[:, n:].reshape(-1, vocabulary), wanted.reshape(-1))

    _, step = trainer(net, loss_of, 2e-3)
    losses = []
    while len(losses) < 3000 and (len(losses) < 20 or np.mean(losses[-20:]) > 0.005):
        symbols = g.integers(64, n, high=vocabulary).numpy()
        mark = np.full((64, 1), vocabulary)
        losses.append(float(step(np.concatenate([symbols, mark, symbols[:, :-1]], axis=1), symbols)))
    assert np.mean(losses[-20:]) < 0.01, losses[-1]
    assert time.perf_counter() - begin < MOST
