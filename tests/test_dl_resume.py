"""A training is the same bytes again: run twice, and saved, killed at a random step and resumed in a new process."""

import hashlib
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dl
from dl import data, nn, optim
from dl import functional as F
from dl.state import part, prefixed

STEPS, EVERY, SEED = 1000, 20, 7


class Training:
    """An MLP with dropout, AdamW, a schedule, shuffled batches, averaged parameters: all that a training remembers."""

    def __init__(self):
        root = dl.Generator(SEED)
        self.generators = dict(zip(("init", "noise", "order"), root.fork(3), strict=True))
        x = np.random.default_rng(SEED).normal(size=(500, 6)).astype(np.float32)
        y = np.stack([np.sin(x).sum(1), np.cos(x).prod(1)], 1).astype(np.float32)
        self.loader = data.DataLoader(
            data.TensorDataset(x, y), 32, shuffle=True, generator=self.generators["order"]
        )  # 16 batches an epoch: a save every 20 steps is mostly in the middle of one
        init, noise = self.generators["init"], self.generators["noise"]
        self.net = nn.Sequential(
            nn.Linear(6, 32, generator=init),
            nn.Tanh(),
            nn.Dropout(0.1, generator=noise),
            nn.Linear(32, 2, generator=init),
        )
        self.opt = optim.AdamW(self.net.parameters(), lr=1e-2, weight_decay=1e-2)
        self.schedule = optim.CosineLR(self.opt, total=STEPS)
        self.ema = optim.EMA(self.net.parameters(), decay=0.99)
        self.step = dl.jit(self.update)
        self.done, self.history = 0, ""

    def update(self, x, y):
        self.opt.zero_grad()
        loss = F.mse_loss(self.net(x), y)
        loss.backward()
        self.opt.step()
        self.ema.update()
        return loss

    def run(self, path: Path):
        """To the last step, saving now and then; says each step."""
        while self.done < STEPS:
            for x, y in self.loader:
                loss = self.step(x, y).detach().numpy()
                self.schedule.step()
                self.done += 1
                self.history = hashlib.sha256(self.history.encode() + loss.tobytes()).hexdigest()
                if self.done % EVERY == 0:
                    self.save(path)
                print(self.done, flush=True)
                if self.done == STEPS:
                    return

    def save(self, path: Path):
        """One file with everything, and the digest of all losses so far."""
        arrays = {
            **prefixed("net", self.net.state_dict()),
            **prefixed("opt", self.opt.state_dict()),
            **prefixed("ema", self.ema.state_dict()),
            **prefixed("loader", self.loader.state_dict()),
        }
        notes = {
            "done": self.done,
            "schedule": self.schedule.state_dict(),
            "generators": {name: g.state() for name, g in self.generators.items()},
            "losses": self.history,
        }
        dl.save(path, arrays, notes)

    def load(self, path: Path):
        arrays, notes = dl.load(path)
        self.net.load_state_dict(part("net", arrays))
        self.opt.load_state_dict(part("opt", arrays))
        self.ema.load_state_dict(part("ema", arrays))
        self.loader.load_state_dict(part("loader", arrays))
        self.schedule.load_state_dict(notes["schedule"])
        for name, g in self.generators.items():
            g.set_state(notes["generators"][name])
        self.done, self.history = notes["done"], notes["losses"]


def start(path: Path) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, __file__, str(path)], stdout=subprocess.PIPE, text=True)


def finish(path: Path) -> bytes:
    """Train in a new process from the last save, or from the beginning, to the end."""
    process = start(path)
    process.communicate(timeout=120)
    assert process.returncode == 0
    return path.read_bytes()


def kill_at(path: Path, step: int):
    """Train in a new process and kill it (SIGKILL) when it says this step; it may be in the middle of a later save."""
    process = start(path)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= step:
            process.kill()
            break
    process.stdout.close()
    assert process.wait() == -9


def test_a_training_is_the_same_bytes_again_also_when_it_was_killed(tmp_path):
    whole = finish(tmp_path / "whole")
    assert finish(tmp_path / "again") == whole
    arrays, notes = dl.load(tmp_path / "whole")
    assert notes["done"] == STEPS and len(arrays) > 20
    where = random.Random(0)
    for step in sorted(where.randrange(1, STEPS - EVERY) for _ in range(3)):
        kill_at(tmp_path / "killed", step)
    assert dl.load(tmp_path / "killed")[1]["done"] < STEPS
    assert finish(tmp_path / "killed") == whole


def test_what_is_saved_is_all_that_a_training_remembers(tmp_path):
    """In one process: 30 steps are 20 steps, a save, a new training that loads it, and 10 more."""

    def steps(training, n):
        while n:
            for x, y in training.loader:
                training.step(x, y)
                training.schedule.step()
                n -= 1
                if not n:
                    break
        return training

    whole = steps(Training(), 30)
    steps(Training(), 20).save(tmp_path / "part")
    resumed = Training()
    resumed.load(tmp_path / "part")
    steps(resumed, 10)
    for one, two in ((whole.net, resumed.net), (whole.opt, resumed.opt), (whole.ema, resumed.ema)):
        a, b = one.state_dict(), two.state_dict()
        assert a.keys() == b.keys()
        assert all(np.asarray(a[k]).tobytes() == np.asarray(b[k]).tobytes() for k in a)


def test_changed_notes_are_refused(tmp_path):
    path = tmp_path / "part"
    Training().save(path)
    good = path.read_bytes()
    assert good.count(b"done") == 1
    path.write_bytes(good.replace(b"done", b"gone", 1))
    with pytest.raises(dl.state.CheckpointError, match="was changed after it was saved"):
        dl.load(path)


if __name__ == "__main__":
    training, path = Training(), Path(sys.argv[1])
    if path.exists():
        training.load(path)
    training.run(path)
