"""A run: times, states and inputs, and how it ended."""

import csv
import io
import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Failure:
    """All that is needed to replay the step that went wrong.

    simulator: what `Simulator.describe()` says; x (nx,), u (nu,), t [s]: state and input before the step;
    where: name of the first state that is not finite; step: index k; seed: of the episode, if there was one.
    """

    simulator: dict
    x: np.ndarray
    u: np.ndarray
    t: float
    step: int
    where: str
    seed: int | None = None

    @property
    def message(self) -> str:
        """One sentence: what, where, when, and what to do."""
        return (
            f"diverged: {self.where!r} is not finite after step {self.step} (t = {self.t:.6g} s) in "
            f"{self.simulator.get('backend', '?')}; use a smaller dt, check inputs and inertias, or save the failure "
            f"(Failure.save) and replay it with `swingup replay FILE`"
        )

    def save(self, path: str | Path) -> Path:
        """Write the failure as JSON, whole or not at all."""
        data = {**self.__dict__, "x": self.x.tolist(), "u": self.u.tolist()}
        return write_atomically(path, json.dumps(data, indent=1).encode())

    @staticmethod
    def load(path: str | Path) -> "Failure":
        """Read what `save` wrote; raises ValueError on a file with anything else inside."""
        try:
            data = json.loads(Path(path).read_text())
            return Failure(**{**data, "x": np.array(data["x"], float), "u": np.array(data["u"], float)})
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: not a failure bundle as `Failure.save` writes ({error})") from None


@dataclass(frozen=True)
class Trajectory:
    """States and inputs on a time grid; u[k] acts on [t[k], t[k+1]].

    t (T+1,) [s]; x (..., T+1, nx); u (..., T, nu), as applied (after saturation). status is "ok" or "diverged";
    a diverged trajectory ends with the last finite state, and failure says which step to replay.
    """

    t: np.ndarray
    x: np.ndarray
    u: np.ndarray
    status: str = "ok"
    message: str = ""
    failure: Failure | None = field(default=None, compare=False)

    def __post_init__(self):
        T = len(self.t) - 1
        if self.x.shape[-2] != T + 1 or self.u.shape[-2] != T:
            raise ValueError(
                f"Trajectory: t has {T + 1} times, so x must be (..., {T + 1}, nx) and u (..., {T}, nu); "
                f"got x {self.x.shape}, u {self.u.shape}"
            )

    def __len__(self) -> int:
        """The number of steps T."""
        return len(self.t) - 1

    def save(self, path: str | Path) -> Path:
        """Write t, x, u and status as .npz (no pickle inside), whole or not at all."""
        buffer = io.BytesIO()
        np.savez(buffer, t=self.t, x=self.x, u=self.u, status=np.array(self.status), message=np.array(self.message))
        return write_atomically(path, buffer.getvalue())

    @staticmethod
    def load(path: str | Path) -> "Trajectory":
        """Read what `save` wrote; raises ValueError on a file with anything else inside."""
        try:
            with np.load(path, allow_pickle=False) as file:
                return Trajectory(file["t"], file["x"], file["u"], str(file["status"]), str(file["message"]))
        except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(f"{path}: not a trajectory as `Trajectory.save` writes ({error})") from None

    def to_csv(self, path: str | Path, x_names: Sequence[str] = (), u_names: Sequence[str] = ()) -> Path:
        """Write one row per time: t, states, inputs (the last row has no input). Unbatched trajectories only."""
        if self.x.ndim != 2:
            raise ValueError(f"to_csv writes one run, x (T+1, nx); got x {self.x.shape}: pick one, e.g. x[0]")
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        nx, nu = self.x.shape[-1], self.u.shape[-1]
        writer.writerow(["t", *(x_names or [f"x{i}" for i in range(nx)]), *(u_names or [f"u{i}" for i in range(nu)])])
        for k, row in enumerate(self.x.tolist()):
            writer.writerow([repr(float(self.t[k])), *row, *(self.u[k].tolist() if k < len(self) else [""] * nu)])
        return write_atomically(path, out.getvalue().encode())


def write_atomically(path: str | Path, data: bytes) -> Path:
    """Write data to path so that a reader finds the old file or the whole new one, never half of it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return path
