"""A closed-form plant as a simulator, and adaptive integration with events."""

from collections.abc import Callable, Sequence

import numpy as np

from sims.errors import unknown
from sims.simulator import Simulator, check
from sims.system import System
from sims.trajectory import Trajectory


def euler(system: System, x, u, dt: float):
    """One explicit Euler step, x + dt f(x, u)."""
    return system.normalize(x + dt * system.f(x, u))


def rk4(system: System, x, u, dt: float):
    """One classical Runge-Kutta step of order 4 with u held (Hairer, Norsett, Wanner, 1993, II.1)."""
    k1 = system.f(x, u)
    k2 = system.f(x + dt / 2 * k1, u)
    k3 = system.f(x + dt / 2 * k2, u)
    k4 = system.f(x + dt * k3, u)
    return system.normalize(x + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4))


def semi_implicit_euler(system: System, x, u, dt: float):
    """v+ = v + dt vdot(q, v, u), q+ = q + dt v+: the step of MuJoCo's Euler and of Drake's discrete plant.

    Only for second-order plants x = [q, v]; joint damping is implicit (System.acceleration).
    """
    dv = dt * system.acceleration(x, u, dt)
    if system.nq == system.nv:
        x_next = np.empty_like(x)  # keeps the memory order of x
        q_next, v_next = x_next[..., : system.nq], x_next[..., system.nq :]
        np.add(x[..., system.nq :], dv, out=v_next)
        np.multiply(dt, v_next, out=q_next)
        q_next += x[..., : system.nq]
        return x_next
    return system.integrate(x, np.concatenate([dt * (x[..., system.nq :] + dv), dv], axis=-1))


def rk45(system: System, x, u, dt: float, rtol: float = 1e-11, atol: float = 1e-13):
    """One step of length dt [s] by adaptive Dormand-Prince 5(4), each batch row on its own; NaN where it gives up."""
    from scipy.integrate import solve_ivp

    x_next = np.full(x.shape, np.nan)
    for row in np.ndindex(x.shape[:-1]):
        held = u[row]
        if not np.isfinite(system.f(x[row], held)).all():  # SciPy's step-size control would never return
            continue
        solution = solve_ivp(lambda _, y, held=held: system.f(y, held), (0.0, dt), x[row], rtol=rtol, atol=atol)
        if solution.success:
            x_next[row] = solution.y[:, -1]
    return system.normalize(x_next)


INTEGRATORS: dict[str, Callable] = {
    "rk4": rk4,
    "euler": euler,
    "semi_implicit_euler": semi_implicit_euler,
    "rk45": rk45,
}


class OdeSimulator(Simulator):
    """A System stepped by a fixed-step (or, "rk45", adaptive) integrator with the input held over dt [s]."""

    backend = "ode"

    def __init__(self, system: System, *, dt: float = 1e-3, integrator: str = "rk4"):
        if integrator not in INTEGRATORS:
            raise unknown("integrator", integrator, INTEGRATORS)
        if integrator == "semi_implicit_euler" and not system.nv:
            raise ValueError(
                f"semi_implicit_euler needs a plant with x = [q, v], which {type(system).__name__} has not: use rk4"
            )
        if not (np.isfinite(dt) and dt > 0):
            raise ValueError(f"OdeSimulator: dt must be a positive number of seconds, got {dt!r}")
        self.system, self.dt, self.integrator = system, float(dt), integrator
        self.nx, self.ndx, self.nu = system.nx, system.ndx, system.nu
        self.u_min, self.u_max = system.u_min, system.u_max
        self.x_names, self.u_names = system.x_names, system.u_names
        self._advance = INTEGRATORS[integrator]
        self.difference, self.integrate = system.difference, system.integrate

    def describe(self) -> dict:
        """The plant's class and parameters, dt and integrator."""
        parameters = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in vars(self.system).items()}
        parameters = {k: str(v) if v in (np.inf, -np.inf) else v for k, v in parameters.items()}  # JSON has no infinity
        return {
            "backend": "ode",
            "plant": type(self.system).__name__,
            "parameters": parameters,
            "dt": self.dt,
            "integrator": self.integrator,
        }

    def _step(self, x: np.ndarray, u: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):  # a diverging run is reported, once, by the caller
            return self._advance(self.system, x, u, self.dt)

    def _linearize(self, x: np.ndarray, u: np.ndarray, eps: float = 1e-6) -> tuple[np.ndarray, np.ndarray]:
        # adaptive steps carry noise of about 1e-13: a wider difference keeps it at 1e-9, with truncation at 1e-8
        return super()._linearize(x, u, 1e-4 if self.integrator == "rk45" else eps)

    def _rollout(self, x0: np.ndarray, u: np.ndarray) -> np.ndarray:
        batch, T, size = x0.shape[:-1], u.shape[-2], x0[..., 0].size
        x = np.empty((T + 1, self.nx, size))  # component-major: every x[..., i] that f reads is contiguous
        inputs = np.ascontiguousarray(np.moveaxis(u, (-2, -1), (0, 1)).reshape(T, self.nu, size))
        x[0] = x0.reshape(size, self.nx).T
        with np.errstate(over="ignore", invalid="ignore"):
            for k in range(T):
                x[k + 1] = self._advance(self.system, x[k].T, inputs[k].T, self.dt).T
        return np.moveaxis(x.reshape(T + 1, self.nx, *batch), (0, 1), (-2, -1))


def integrate_events(
    system: System,
    x0,
    u: Callable[[float, np.ndarray], np.ndarray],
    duration: float,
    *,
    events: Sequence[Callable[[float, np.ndarray], float]] = (),
    n_out: int = 201,
    rtol: float = 1e-10,
    atol: float = 1e-12,
) -> tuple[Trajectory, list[np.ndarray]]:
    """Adaptive integration of xdot = f(x, u(t, x)) from x0 (nx,), with event location (SciPy DOP853).

    u: any policy with its arguments as (t, x), not saturated. events: functions (t, x) -> float whose zeros are
    located; attributes `terminal` and `direction` as in scipy.integrate.solve_ivp. Returns a Trajectory on n_out equal
    times (u sampled there), up to the terminal event if there is one, and per event the array (n, 1 + nx) of [t, x] at
    its zeros. An integration that fails ends where it got to, with status "diverged" and the reason. Raises ValueError
    for a bad x0 or duration.
    """
    from scipy.integrate import solve_ivp

    x0 = check(x0, system.nx, system.x_names, "integrate_events: state x0").reshape(system.nx)
    if not (np.isfinite(duration) and duration > 0):
        raise ValueError(f"integrate_events: duration must be a positive number of seconds, got {duration!r}")

    def rate(t, x):
        with np.errstate(over="ignore", invalid="ignore"):  # a diverging run is reported, once, by its status
            return system.f(x, np.asarray(u(t, x), float).reshape(system.nu))

    if not np.isfinite(rate(0.0, x0)).all():  # SciPy's step-size control would never return
        message = "xdot is not finite at t = 0: check x0, the input and the plant's parameters"
        start = Trajectory(np.zeros(1), x0[None], np.empty((0, system.nu)), "diverged", message)
        return start, [np.empty((0, 1 + system.nx)) for _ in events]
    solution = solve_ivp(
        rate,
        (0.0, duration),
        x0,
        method="DOP853",
        events=list(events) or None,
        dense_output=True,
        rtol=rtol,
        atol=atol,
    )
    t = np.linspace(0.0, solution.t[-1], n_out)
    x = system.normalize(solution.sol(t).T)
    inputs = np.array([np.asarray(u(ti, xi), float) for ti, xi in zip(t[:-1], x[:-1], strict=True)])
    found = zip(solution.t_events or [], solution.y_events or [], strict=True)
    zeros = [np.column_stack([te, ye.reshape(len(te), system.nx)]) for te, ye in found]
    status = "ok" if solution.success else "diverged"
    return Trajectory(t, x, inputs.reshape(n_out - 1, system.nu), status, solution.message), zeros
