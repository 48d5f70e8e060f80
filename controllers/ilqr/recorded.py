"""A closed-form plant: its step under the feedback law is recorded once by dl and looped in C, derivatives likewise."""

import numpy as np

import dl
from controllers.ilqr.dynamics import Dynamics, Law
from controllers.tangent import lift
from dl.recorder.loop import Loop
from sims.ode import INTEGRATORS, OdeSimulator

UNROLLED = 32  # entries of K up to which K dx is written out: element by element it fuses with its neighbours


class Recorded(Dynamics):
    """An OdeSimulator, by dl. The plant's parameters must not change after the first plan."""

    def __init__(self, sim: OdeSimulator):
        super().__init__(sim)
        self.system = sim.system
        advance = INTEGRATORS[sim.integrator]
        semi_implicit = sim.integrator == "semi_implicit_euler"
        self.step = self._semi_implicit if semi_implicit else lambda x, u: advance(self.system, x, u, self.dt)
        self._closed, self._with_gaps = Loop(self._turn), Loop(self._turn_with_gap)
        self._hessian = dl.jit(dl.vmap(dl.hessian(self._along)))
        self._jacobian = dl.jit(dl.vmap(dl.jacobian(self.step, argnums=(0, 1))))

    def _along(self, xu, v):
        return (self.step(xu[: self.nx], xu[self.nx :]) * v).sum()

    def _semi_implicit(self, x, u):
        # as sims.ode.semi_implicit_euler, which writes into parts of an array
        nq = self.system.nq
        v = x[..., nq:] + self.dt * self.system.acceleration(x, u, self.dt)
        if nq == self.system.nv:
            return np.concatenate([x[..., :nq] + self.dt * v, v], axis=-1)
        return self.system.integrate(x, np.concatenate([self.dt * v, v - x[..., nq:]], axis=-1))

    def _input(self, x, alpha, x_law, u_law, k, K):
        dx = self.system.difference(x_law, x)
        nu, ndx = K.shape
        fed = dx @ K.mT if nu * ndx > UNROLLED else None
        parts = []
        for j in range(nu):
            part = u_law[j] + alpha * k[j]
            part = part - fed[..., j] if fed is not None else part
            for i in range(ndx if fed is None else 0):
                part = part - K[j, i] * dx[..., i]
            low, high = self.u_min[j], self.u_max[j]
            parts.append(dl.clamp(part, low, high) if np.isfinite([low, high]).any() else part)
        return dl.stack(parts, -1)

    def _turn(self, x, alpha, ends, x_law, u_law, k, K):
        u = self._input(x, alpha, x_law, u_law, k, K)
        x_next = self.step(x, u)
        x_next = dl.where(dl.abs(x_next) < ends[0], x_next, ends[1])
        return x_next, x_next, u

    def _turn_with_gap(self, x, alpha, ends, x_law, u_law, k, K, gap):
        u = self._input(x, alpha, x_law, u_law, k, K)
        x_next = self.system.integrate(self.step(x, u), (alpha[:, None] - 1.0) * gap)
        x_next = dl.where(dl.abs(x_next) < ends[0], x_next, ends[1])
        return x_next, x_next, u

    def rollout(self, law: Law, alphas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        T, n = len(law.u), len(alphas)
        x = np.empty((T + 1, n, self.nx))
        x[0] = law.x[0]
        rows, fixed = (law.x[:-1], law.u, law.k, law.K), (alphas, np.array([law.bound, np.nan]))
        if law.gap is None:
            x[1:], u = self._closed(T, (x[0],), fixed, rows)
        else:
            x[1:], u = self._with_gaps(T, (x[0],), fixed, (*rows, law.gap))
        return x.swapaxes(0, 1), u.swapaxes(0, 1)

    def linearize(self, x: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        A, B = self._jacobian(x, u)
        if self.ndx == self.nx:
            return A, B
        E = lift(self.system.integrate, x, self.ndx)
        back = np.linalg.pinv(lift(self.system.integrate, self.sim._step(x, u), self.ndx))
        return np.ascontiguousarray(back @ A @ E), np.ascontiguousarray(back @ B)

    def curvature(self, x: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray | None:
        return self._hessian(np.concatenate([x, u], axis=1), v) if self.ndx == self.nx else None
