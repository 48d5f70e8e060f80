"""Data in batches: datasets, loaders, and chunks of trajectories."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np

from dl.random import Generator
from dl.tensor import Tensor


class Dataset(ABC):
    """A finite list of examples that can be taken in batches."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def take(self, index: np.ndarray) -> tuple[Tensor, ...]:
        """The examples of these indices, stacked: tensors with the batch leading."""

    def __getitem__(self, i: int) -> tuple[Tensor, ...]:
        n = len(self)
        if not -n <= i < n:
            raise IndexError(f"{type(self).__name__}: index {i} of {n} examples")
        return tuple(t[0] for t in self.take(np.array([i % n])))


def checked(arrays: Sequence, where: str) -> list[np.ndarray]:
    """Arrays with one leading length and no NaN. Raises ValueError naming the array and the first bad row."""
    found = [a.array if isinstance(a, Tensor) else np.asarray(a) for a in arrays]
    if not found or not all(a.ndim for a in found):
        raise ValueError(f"{where}: wanted at least one array with a leading dimension of examples")
    lengths = [len(a) for a in found]
    if len(set(lengths)) > 1:
        raise ValueError(f"{where}: arrays have different numbers of examples, {lengths}")
    if not lengths[0]:
        raise ValueError(f"{where}: the dataset is empty")
    for k, a in enumerate(found):
        if a.dtype.kind == "f" and not np.isfinite(a).all():
            row = int(np.argwhere(~np.isfinite(a.reshape(len(a), -1)).all(axis=1))[0, 0])
            raise ValueError(
                f"{where}: array {k} (shape {list(a.shape)}) has a non-finite value, first in example {row}"
            )
    return found


class TensorDataset(Dataset):
    """Rows of arrays of one length. Raises ValueError for unequal lengths, no examples, or non-finite values."""

    def __init__(self, *arrays):
        self.arrays = checked(arrays, "TensorDataset")

    def __len__(self) -> int:
        return len(self.arrays[0])

    def take(self, index: np.ndarray) -> tuple[Tensor, ...]:
        return tuple(Tensor(a[index]) for a in self.arrays)


class TrajectoryChunks(Dataset):
    """Windows of episodes: (observations (n_obs, nx), actions (n_act, nu)) around each time step of each episode.

    The window of observations ends at the time step, that of actions begins there; over an episode's ends the first
    observation and the last action are repeated (Chi et al., Diffusion Policy, 2023).

    episodes: pairs (obs (T, nx), action (T, nu)). Raises ValueError for unequal lengths or non-finite values.
    """

    def __init__(self, episodes: Sequence[tuple], *, n_obs: int = 1, n_act: int = 16):
        if n_obs < 1 or n_act < 1:
            raise ValueError(f"TrajectoryChunks: wanted n_obs, n_act >= 1, got {n_obs}, {n_act}")
        pairs = [checked(pair, f"TrajectoryChunks: episode {i}") for i, pair in enumerate(episodes)]
        if not pairs:
            raise ValueError("TrajectoryChunks: there are no episodes")
        self.obs = np.concatenate([obs for obs, _ in pairs])
        self.action = np.concatenate([action for _, action in pairs])
        lengths = np.array([len(obs) for obs, _ in pairs])
        begin = np.repeat(np.cumsum(lengths) - lengths, lengths)[:, None]
        last = np.repeat(np.cumsum(lengths) - 1, lengths)[:, None]
        now = np.arange(len(self.obs))[:, None]
        self.obs_rows = np.maximum(now + np.arange(1 - n_obs, 1), begin)
        self.action_rows = np.minimum(now + np.arange(n_act), last)

    def __len__(self) -> int:
        return len(self.obs)

    def take(self, index: np.ndarray) -> tuple[Tensor, ...]:
        return Tensor(self.obs[self.obs_rows[index]]), Tensor(self.action[self.action_rows[index]])


class DataLoader:
    """Batches of a dataset, in order or shuffled anew in each epoch by the generator.

    A loader's state is its generator's state and the place in the epoch: state_dict() in the middle of an epoch and
    load_state_dict() give the remaining batches, byte for byte.
    """

    def __init__(
        self, dataset: Dataset, batch_size: int, *, shuffle: bool = False, drop_last: bool = False,
        generator: Generator | None = None,
    ):  # fmt: skip
        if batch_size < 1:
            raise ValueError(f"DataLoader: wanted batch_size >= 1, got {batch_size}")
        if shuffle and generator is None:
            raise TypeError("DataLoader: shuffle=True needs generator=dl.Generator(seed)")
        if drop_last and len(dataset) < batch_size:
            raise ValueError(f"DataLoader: {len(dataset)} examples make no batch of {batch_size} with drop_last=True")
        self.dataset, self.batch_size, self.drop_last = dataset, batch_size, drop_last
        self.generator = generator if shuffle else None
        self.order: np.ndarray | None = None
        self.at = 0

    def __len__(self) -> int:
        n = len(self.dataset)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        order = self.begin() if self.order is None else self.order
        while self.at < len(self):
            batch = order[self.at * self.batch_size : (self.at + 1) * self.batch_size]
            self.at += 1
            yield self.dataset.take(batch)
        self.order = None

    def begin(self) -> np.ndarray:
        n = len(self.dataset)
        order = np.arange(n) if self.generator is None else self.generator.permutation(n).array
        self.order, self.at = order, 0
        return order

    def state_dict(self) -> dict[str, np.ndarray]:
        """The place in the epoch, as arrays; the generator's state is its own."""
        order = np.empty(0, np.int64) if self.order is None else self.order.copy()
        return {"order": order, "at": np.array(self.at, np.int64)}

    def load_state_dict(self, arrays: dict[str, np.ndarray]):
        """Go on in the middle of an epoch. Raises ValueError where it was another dataset's."""
        order = np.asarray(arrays["order"])
        if order.size not in (0, len(self.dataset)):
            raise ValueError(f"DataLoader: the saved order has {order.size} examples, this dataset {len(self.dataset)}")
        self.order, self.at = (order if order.size else None), int(arrays["at"])
