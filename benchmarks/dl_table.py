"""The table that benchmarks/dl.py prints: its rows, their bounds, and how a row is judged."""

from collections.abc import Iterator
from dataclasses import dataclass

PEERS = ("torch", "TorchScript", "jax")
EAGER = ("torch eager",)


@dataclass(frozen=True)
class Row:
    """One line of the table: the best variant of ours against the best of theirs (names of variants begin so).

    bound: theirs / ours is at least that; where at_most, ours / theirs is at most that; None: for information.
    threads: None takes the best.
    """

    label: str
    case: str
    bound: float | None
    theirs: tuple[str, ...] = PEERS
    ours: tuple[str, ...] = ("dl.jit",)
    threads: int | None = None
    at_most: bool = False


def both(label: str, case: str, bound: float, torch: float) -> tuple[Row, ...]:
    """Against the best peer, and against PyTorch's eager mode."""
    return Row(label, case, bound), Row(f"{label}: against torch eager", case, torch, EAGER)


def products() -> Iterator[Row]:
    for size in ("64 64 64", "256 64 64", "256 256 256"):
        yield Row(f"GEMM {size}: of the FMA peak, 1 thread", f"gemm {size}", 0.85, ("FMA peak",), ("dl gemm",), 1)
    for n in (1, 2):
        case = "gemm 1024 1024 1024"
        yield Row(f"GEMM 1024 1024 1024, {n} thread{'s'[: n - 1]}", case, 0.95, ("torch", "NumPy"), ("dl gemm",), n)


TANH, RELU = "infer 17-64-64-6 tanh", "infer 17-256-256-6 relu"
ROWS = (
    *both("inference 17-64-64-6 tanh, batch 1", TANH, 20, 50),
    Row("inference 17-64-64-6 tanh, batch 1: JAX without async dispatch", TANH, None, ("JAX",)),
    *both("inference 17-256-256-6 relu, batch 1", RELU, 3.5, 8),
    Row("inference 17-256-256-6 relu, batch 1: JAX without async dispatch", RELU, None, ("JAX",)),
    *both("training 17-64-64-6, batch 64", "train 17-64-64-6, 64", 2.5, 20),
    *both("training 17-64-64-6, batch 256", "train 17-64-64-6, 256", 2.2, 10),
    *both("training 17-256-256-6 relu, batch 256", "train 17-256-256-6, 256", 1.5, 2),
    Row("training 784-512-512-10, batch 128, cross-entropy", "train 784-512-512-10, 128", 1.0),
    Row("training conv net 3-32-64-64, batch 32", "train conv net", 1.3),
    Row("training transformer, 4 layers, T 64, batch 8", "train transformer", 1.3),
    Row("training temporal conv net, horizon 16, batch 64", "train temporal conv net", 1.3),
    Row("eager 17-64-64-6, batch 64: against torch eager", "train 17-64-64-6, 64", 8, EAGER, ("dl eager",)),
    *products(),
    Row("LQR layer, n = 12, batch 64, with gradient: against SciPy", "LQR layer", 2, ("SciPy",), ("dl",), at_most=True),
    Row("cart-pole rollout, T = 200: against a NumPy loop", "cart-pole rollout", 30, ("NumPy",)),
    Row("its gradient by x0 and u: rollouts", "cart-pole rollout", 5, ("dl.jit",), ("gradient",), at_most=True),
    Row("import dl from the wheel: against NumPy", "import", 1.6, ("import numpy",), ("import dl",), at_most=True),
)
WHEEL = 3_000_000  # bytes, at most


def best(measured: list[dict], case: str, variants: tuple[str, ...], threads: int | None) -> dict | None:
    """The least median of a case among the variants whose names begin so."""
    found = [
        e
        for e in measured
        if e["case"] == case and "median" in e and e["variant"].startswith(variants) and threads in (None, e["threads"])
    ]
    return min(found, key=lambda e: e["median"], default=None)


def judged(row: Row, measured: list[dict]) -> dict | None:
    """One row of the table with its ratio, or None where a side was not measured."""
    ours = best(measured, row.case, row.ours, row.threads)
    theirs = best(measured, row.case, row.theirs, row.threads)
    if ours is None or theirs is None:
        return None
    up, down = (ours, theirs) if row.at_most else (theirs, ours)
    ratio, bound = up["median"] / down["median"], row.bound
    return {
        "label": row.label,
        "case": row.case,
        "ours": {k: ours[k] for k in ("variant", "threads", "median")},
        "theirs": {k: theirs[k] for k in ("variant", "threads", "median")},
        "ratio": ratio,
        "ratio_of_p10": up["p10"] / down["p10"],
        "bound": bound,
        "at_most": row.at_most,
        "met": bound is None or (ratio <= bound if row.at_most else ratio >= bound),
    }


def side(e: dict) -> str:
    return f"{e['median'] * 1e6:10.2f}  {e['variant']}, {e['threads']}"


def show(rows: list[dict], wheel: int | None):
    """Print microseconds per step of both sides, their ratio, the bound, and whether it is met."""
    print(f"\n{'median [us], variant, threads':66}{'ours':>10}{'':34}{'theirs':>10}{'':36}{'ratio':>6}  bound")
    for r in rows:
        sign = "" if r["bound"] is None else f"  {'<=' if r['at_most'] else '>='} {r['bound']}"
        verdict = "" if r["met"] else "  NOT MET"
        print(f"{r['label']:66}{side(r['ours']):44}{side(r['theirs']):46}{r['ratio']:6.2f}{sign}{verdict}")
    if wheel is not None:
        print(f"{'wheel':66}{wheel / 1e6:10.2f} MB  <= {WHEEL / 1e6:g}{'' if wheel <= WHEEL else '  NOT MET'}")
