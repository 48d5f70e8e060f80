"""A policy leaves Python: one C99 file with its normalisation and limits inside, compiled and compared."""

import ctypes
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

import dl
from dl import nn
from dl.export import Port, c99

policy = nn.MLP((4, 32, 32, 1), activation=nn.Tanh, generator=dl.Generator(0))
state = Port(names=("x", "theta", "v", "omega"), units=("m", "rad", "m/s", "rad/s"), scale=(2.0, 3.0, 4.0, 8.0))
force = Port(names=("force",), units=("N",), scale=10.0, low=-10.0, high=10.0)
source = c99(policy, np.zeros(4, np.float32), inputs=(state,), outputs=(force,))
print(source[: source.index("static")])

worst = 0.0
compiler = shutil.which("cc") or shutil.which("gcc")
if compiler:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "policy.c").write_text(source)
        flags = "-std=c99 -Wall -Werror -O2 -shared -fPIC policy.c -o policy.so -lm"
        subprocess.run([compiler, *flags.split()], cwd=folder, check=True)
        run = ctypes.CDLL(str(Path(folder) / "policy.so")).policy
        rng, u = np.random.default_rng(0), np.empty(1, np.float32)
        for _ in range(1000):
            x = rng.normal(size=4).astype(np.float32)
            run(ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(u.ctypes.data))
            with dl.no_grad():
                inside = policy(dl.from_numpy(x / np.array(state.scale, np.float32))).numpy()
            worst = max(worst, abs(float(np.clip(10.0 * inside, -10.0, 10.0)[0] - u[0])))
print(f"compiled C against the network, 1000 states: largest difference {worst:.1e} N")
assert worst < 1e-5
