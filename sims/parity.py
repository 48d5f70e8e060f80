"""Do MuJoCo, Drake and the closed form mean the same robot? Compared at random states, worst joint or body named."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sims import models, plants
from sims.manipulator import times
from sims.ode import OdeSimulator
from sims.simulator import Simulator
from sims.system import System

TOLERANCE = 1e-9  # absolute: M [kg, kg m^2], forces [N, N m], poses [m], one step; vdot and linearize are relative
LINEARIZE_TOLERANCE = 1e-6
STEPS = 50


@dataclass(frozen=True)
class Row:
    """One comparison: the largest difference over all states, and the joint, body or input where it is."""

    quantity: str
    between: str
    error: float
    tolerance: float
    where: str

    @property
    def ok(self) -> bool:
        """Whether the error is within the tolerance; an error that is not a number is not."""
        return bool(self.error <= self.tolerance)


@dataclass(frozen=True)
class Report:
    """What `parity` found; n states drawn with `seed`."""

    model: str
    n: int
    seed: int
    rows: tuple[Row, ...]
    omissions: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every row is within its tolerance."""
        return all(row.ok for row in self.rows)

    def table(self) -> str:
        """The rows as aligned text, worst place in the last column."""
        head = ("quantity", "between", "max error", "tolerance", "", "worst at")
        cells = [
            (r.quantity, r.between, f"{r.error:.1e}", f"{r.tolerance:.0e}", "ok" if r.ok else "FAIL", r.where)
            for r in self.rows
        ]
        widths = [max(len(row[i]) for row in [head, *cells]) for i in range(len(head))]
        lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in [head, *cells]]
        title = f"parity of {self.model}: {'ok' if self.ok else 'FAIL'} (n = {self.n} states, seed {self.seed})"
        return "\n".join([title, *lines, *(f"not in Drake: {sentence}" for sentence in self.omissions)])

    def to_dict(self) -> dict:
        """JSON types only; an error that is not finite is None."""
        rows = [{**asdict(r), "error": r.error if np.isfinite(r.error) else None, "ok": r.ok} for r in self.rows]
        return {
            "model": self.model,
            "ok": self.ok,
            "n": self.n,
            "seed": self.seed,
            "rows": rows,
            "omissions": list(self.omissions),
        }


def parity(
    model,
    *,
    n: int = 20,
    seed: int = 0,
    plant: System | None = None,
    rollout: float = 0.0,
    rollout_scale: float = 0.1,
    allow: Sequence[str] = (),
) -> Report:
    """Compare MuJoCo, Drake and, if given or known to `models.PLANT_MODEL`, the closed form at n random states.

    Contact, limits and MuJoCo's other constraints are off; limits are compared as numbers. One step, and fifty with the
    input held, are MuJoCo's Euler, Drake's discrete and the closed form's semi-implicit Euler. With rollout > 0 [s], a
    passive run of MuJoCo's RK4 at 1 ms is compared with Drake's RK5 at 1e-12, from states rollout_scale * N(0, 1) away
    from the reference: large motions of chaotic models exceed any tolerance by MuJoCo's truncation error alone.
    Where the names differ (Drake and MuJoCo read a URDF differently), nothing else is compared. allow: as
    DrakeSimulator's.
    Raises ModelError if either engine refuses the model, ValueError for a bad n.
    """
    if n < 1:
        raise ValueError(f"parity: n must be at least 1 state, got {n!r}")
    allow = (allow,) if isinstance(allow, str) else tuple(allow)
    both = _Pair(model, seed, allow)
    names = _names(both)
    if not all(row.ok for row in names):
        return Report(_title(model), n, seed, tuple(names), both.drake.omissions)
    plant = plant if plant is not None else _closed_form(model)
    states = [both.random() for _ in range(n)]
    rows = [*names, *_limits(both, plant), *_engines(both, states)]
    if plant is not None:
        rows += _against_plant(both, plant, states)
    if rollout > 0:
        rows.append(_rollout(both, model, rollout, rollout_scale, allow))
    return Report(_title(model), n, seed, tuple(rows), both.drake.omissions)


class _Pair:
    """Both simulators of one model, constraints off, and what to call its degrees of freedom."""

    def __init__(self, model, seed: int, allow: tuple[str, ...]):
        import mujoco

        from sims.drake_sim import DrakeSimulator
        from sims.mujoco_layout import joint_names
        from sims.mujoco_sim import MujocoSimulator

        self.drake = DrakeSimulator(model, contact=False, limits=False, allow=allow)
        for constraint in self.drake.plant.GetConstraintIds():
            self.drake.plant.SetConstraintActiveStatus(self.drake._plant_context, constraint, False)
        self.limited = DrakeSimulator(model, contact=False, allow=allow)
        self.mujoco = MujocoSimulator(model, integrator="euler", contact=False, limits=False)
        self.mujoco.model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_CONSTRAINT)
        m = self.m = self.mujoco.model
        self.joints = joint_names(m)
        self.dofs = [self.joints[j] for j in m.dof_jntid]
        self.home = np.concatenate([m.qpos0, np.zeros(m.nv + m.na)])
        self.rng = np.random.default_rng(seed)

    def random(self) -> tuple[np.ndarray, np.ndarray]:
        """x within N(0, 1) of the reference on the manifold, u ~ N(0, 1) within its limits."""
        x = self.mujoco.integrate(self.home, self.rng.standard_normal(self.mujoco.ndx))
        return x, self.mujoco.saturate(self.rng.standard_normal(self.mujoco.nu))


def _title(model) -> str:
    if isinstance(model, Path) or (isinstance(model, str) and "<" not in model):
        return Path(model).stem
    return type(model).__name__ if not isinstance(model, str) else "model text"


def _closed_form(model) -> System | None:
    """The plant that PLANT_MODEL pairs with this model of the suite, None for any other model."""
    if not isinstance(model, (str, Path)) or "<" in str(model):
        return None
    path = models.find(model).resolve()
    for name, twin in models.PLANT_MODEL.items():
        if models.MODELS[twin].resolve() == path:
            return plants.load(name)()
    return None


def _worst(quantity: str, between: str, errors: Any, names: Sequence[str], tolerance: float = TOLERANCE) -> Row:
    """The row of errors (k, ..., len(names)) by the last axis; NaN is the worst of all."""
    errors = np.abs(np.asarray(errors, float)).reshape(-1, len(names)) if len(names) else np.zeros((1, 0))
    if not errors.size:
        return Row(quantity, between, 0.0, tolerance, "-")
    at = int(np.argmax(np.where(np.isnan(errors), np.inf, errors)))
    return Row(quantity, between, float(errors.flat[at]), tolerance, names[at % len(names)])


def _names(both: _Pair) -> list[Row]:
    rows = []
    for quantity, attribute in (
        ("state names and order", "x_names"),
        ("input names", "u_names"),
        ("bodies", "body_names"),
    ):
        ours, theirs = getattr(both.drake, attribute), getattr(both.mujoco, attribute)
        longest = max(len(ours), len(theirs))
        pad = lambda names, longest=longest: [*names, *[""] * (longest - len(names))]  # noqa: E731
        wrong = [a != b for a, b in zip(pad(ours), pad(theirs), strict=True)]
        rows.append(_worst(quantity, "mujoco drake", [wrong], pad(theirs), tolerance=0.0))
    return rows


def _gap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """|a - b|, zero where both are the same infinity."""
    with np.errstate(invalid="ignore"):
        return np.where(a == b, 0.0, np.abs(a - b))


def _limits(both: _Pair, plant: System | None) -> list[Row]:
    m = both.m
    low, high = np.full(m.nq, -np.inf), np.full(m.nq, np.inf)
    names = [""] * m.nq
    for j, name in enumerate(both.joints):
        end = m.jnt_qposadr[j + 1] if j + 1 < m.njnt else m.nq
        names[m.jnt_qposadr[j] : end] = [name] * (end - m.jnt_qposadr[j])
        if m.jnt_limited[j] and end - m.jnt_qposadr[j] == 1:
            low[m.jnt_qposadr[j]], high[m.jnt_qposadr[j]] = m.jnt_range[j]
    q_min, q_max = both.limited.position_limits
    rows = [_worst("position limits", "mujoco drake", [_gap(low, q_min), _gap(high, q_max)], names)]
    others = [("mujoco drake", both.drake)] + ([("mujoco closed form", plant)] if plant is not None else [])
    for between, other in others:
        gaps = [_gap(both.mujoco.u_min, other.u_min), _gap(both.mujoco.u_max, other.u_max)]
        rows.append(_worst("input limits", between, gaps, both.mujoco.u_names))
    return rows


def _engines(both: _Pair, states: list) -> list[Row]:
    between, drake, oracle = "mujoco drake", both.drake, both.mujoco
    pairs = [(drake.terms(x, u), oracle.terms(x, u)) for x, u in states]
    poses = [np.abs(drake.body_poses(x) - oracle.body_poses(x)).max(axis=(-2, -1)) for x, _ in states]
    rows = [_worst("body poses", between, poses, oracle.body_names)]
    for quantity, name in (
        ("mass matrix", "M"),
        ("bias forces", "bias"),
        ("gravity", "gravity"),
        ("actuator map", "tau"),
    ):
        rows.append(_worst(quantity, between, [getattr(a, name) - getattr(b, name) for a, b in pairs], both.dofs))
    rows.append(_worst("vdot (relative)", between, [_relative(a.vdot, b.vdot) for a, b in pairs], both.dofs))
    steps = [drake.difference(drake.step(x, u), oracle.step(x, u)) for x, u in states]
    rows.append(_worst("one step", between, steps, both.dofs * 2))
    rows.append(_steps(between, both, drake, states[:3]))
    rows.append(_linear(between, both, drake.linearize, states[:3]))
    return rows


def _steps(between: str, both: _Pair, sim: Simulator, states: list) -> Row:
    """STEPS such steps from a state, its input held."""
    gaps = []
    for x, u in states:
        held = np.tile(u, (STEPS, 1))
        gaps.append(sim.difference(both.mujoco.rollout(x, held).x, sim.rollout(x, held).x))
    return _worst(f"{STEPS} steps", between, np.concatenate(gaps), both.dofs * 2)


def _relative(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a - b) / (np.abs(b).max(initial=0.0) or 1.0)


def _linear(between: str, both: _Pair, linearize: Callable, states: list) -> Row:
    """A and B of one step, relative to the largest entry; by the joint of the row."""
    gaps = []
    for x, u in states:
        ours, theirs = np.hstack(linearize(x, u)), np.hstack(both.mujoco.linearize(x, u))
        gaps.append(_relative(ours, theirs).T)
    return _worst("linearize (relative)", between, np.concatenate(gaps), both.dofs * 2, LINEARIZE_TOLERANCE)


def _against_plant(both: _Pair, plant: System, states: list) -> list[Row]:
    between, oracle = "mujoco closed form", both.mujoco
    if (plant.nx, plant.nu) != (oracle.nx, oracle.nu):
        raise ValueError(
            f"parity: {type(plant).__name__} has {plant.nx} states and {plant.nu} inputs, the model has {oracle.nx} "
            f"({', '.join(oracle.x_names)}) and {oracle.nu}: they are different robots"
        )
    terms = [(x, u, oracle.terms(x, u)) for x, u in states]
    rows = _manipulator_rows(between, plant, terms, both.dofs) if {"M", "C", "tau_g", "B"} <= set(dir(plant)) else []
    gaps = [_relative(plant.f(x, u)[plant.nq :], t.vdot) for x, u, t in terms]
    rows.append(_worst("vdot (relative)", between, gaps, both.dofs))
    euler = OdeSimulator(plant, dt=oracle.dt, integrator="semi_implicit_euler")
    steps = [oracle.difference(euler.step(x, u), oracle.step(x, u)) for x, u in states]
    rows.append(_worst("one step", between, steps, both.dofs * 2))
    rows.append(_steps(between, both, euler, states[:3]))
    rows.append(_linear(between, both, euler.linearize, states[:3]))
    return rows


def _manipulator_rows(between: str, plant: Any, terms: list, dofs: list[str]) -> list[Row]:
    gaps: dict[str, list] = {"mass matrix": [], "bias forces": [], "gravity": [], "actuator map": []}
    for x, u, t in terms:
        q, v = x[: plant.nq], x[plant.nq :]
        tau_g = plant.tau_g(q)
        gaps["mass matrix"].append(plant.M(q) - t.M)
        gaps["bias forces"].append(times(plant.C(q, v), v) - tau_g - t.bias)
        gaps["gravity"].append(tau_g - t.gravity)
        gaps["actuator map"].append(times(plant.B(q), u) - t.tau)
    return [_worst(quantity, between, errors, dofs) for quantity, errors in gaps.items()]


def _rollout(both: _Pair, model, duration: float, scale: float, allow: tuple[str, ...]) -> Row:
    from sims.drake_sim import DrakeSimulator
    from sims.mujoco_sim import MujocoSimulator

    off = {"contact": False, "limits": False, "dt": 1e-3}
    drake = DrakeSimulator(model, integrator="runge_kutta5", accuracy=1e-12, allow=allow, **off)
    oracle = MujocoSimulator(model, integrator="rk4", **off)
    oracle.model.opt.disableflags = both.m.opt.disableflags
    x0 = oracle.integrate(both.home, scale * both.rng.standard_normal(oracle.ndx))
    u = np.zeros((max(1, round(duration / 1e-3)), oracle.nu))
    gaps = drake.difference(oracle.rollout(x0, u).x, drake.rollout(x0, u).x)
    return _worst(f"{duration:g} s passive rollout", "mujoco drake", gaps, both.dofs * 2)
