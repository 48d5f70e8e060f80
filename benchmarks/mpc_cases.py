"""The problems that benchmarks/mpc.py measures."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from controllers import zoh
from controllers.cost import Cost, quadratic
from controllers.function_cost import from_function
from controllers.mpc.linear import LinearMPC
from controllers.mpc.sampling import PredictiveSampling
from controllers.mpc.sampling_planner import SamplingPlanner
from controllers.tangent import Wrapped
from sims import MujocoSimulator, OdeSimulator, models
from sims.plants import CartPole, DoubleIntegrator


def push_stage(x, u):
    """Distance of the block to (0.3, 0.2), of the finger to the side from which it pushes there, and a little force."""
    away = x[..., :2] - np.array([0.3, 0.2])
    distance = np.sqrt((away**2).sum(-1) + 1e-6)
    behind = x[..., 7:9] - x[..., :2] - 0.09 * away / distance[..., None]
    return 20.0 * distance + 2.0 * np.sqrt((behind**2).sum(-1) + 1e-4) + 0.01 * (u**2).sum(-1)


def push_end(x):
    away = x[..., :2] - np.array([0.3, 0.2])
    return 20.0 * np.sqrt((away**2).sum(-1) + 1e-6)


@dataclass(frozen=True)
class Sampled:
    """A model, its time step [s], input limit, cost, start and the knots and standard deviation of the draws."""

    model: str
    dt: float
    limit: float
    cost: Cost
    x0: np.ndarray
    knots: int
    std: float

    def simulator(self) -> MujocoSimulator:
        sim = MujocoSimulator(models.MODELS[self.model], dt=self.dt)
        sim.u_min, sim.u_max = np.full(sim.nu, -self.limit), np.full(sim.nu, self.limit)
        return sim

    def sampler(self, samples: int) -> PredictiveSampling:
        return PredictiveSampling(samples, std=self.std)


PUSH_START = np.r_[0, 0, 0.05, 1, 0, 0, 0, -0.2, 0.0, np.zeros(8)]
SAMPLED = {
    "cartpole": Sampled(
        "cartpole",
        0.02,
        60.0,
        quadratic([1, 10, 0.1, 1], [0.001], x_goal=[0, np.pi, 0, 0], difference=Wrapped((1,))),
        np.zeros(4),
        6,
        20.0,
    ),
    "block_push": Sampled("block_push", 0.01, 8.0, from_function(push_stage, terminal=push_end), PUSH_START, 6, 3.0),
}


class Quadrotor:
    """A quadrotor about its hover, 12 states, 4 inputs, in wind; its tilt, speed and inputs are limited.

    far: it is sent 4 m away, and its limit of 0.6 m/s is active for most of the run; otherwise it holds its place.
    """

    steps = 200

    def __init__(self, *, far: bool):
        A, B = np.zeros((12, 12)), np.zeros((12, 4))
        A[:6, 6:] = np.eye(6)
        A[6, 4], A[7, 3] = 9.81, -9.81
        B[8, 0] = 1 / 0.775
        B[9:, 1:] = np.diag(0.1 / np.array([0.0015, 0.0025, 0.0035]))
        self.A, self.B = zoh(A, B, 0.05)
        self.Q = np.diag([1.0, 1, 1, 1, 1, 1, 1, 1, 1, 0.1, 0.1, 0.1])
        self.goal = np.r_[4.0, -3.0, 1.0, np.zeros(9)] if far else np.zeros(12)

    def planner(self, *, shortcut: bool, solver: str = "auto") -> LinearMPC:
        bound = np.r_[np.full(3, np.inf), np.full(3, 0.5), np.full(3, 0.6), np.full(3, 5.0)]
        return LinearMPC(
            self.A, self.B, self.Q, 0.1 * np.eye(4), 20, dt=0.05, x_goal=self.goal, u_min=-1, u_max=1, x_min=-bound,
            x_max=bound, soft=1e3, solver=solver, shortcut=shortcut, tolerance=1e-5 if solver != "clarabel" else None,
        )  # fmt: skip

    def states(self) -> np.ndarray:
        """The closed loop of an exact solver, with noise on the velocities."""
        planner, rng, x, out = (
            self.planner(shortcut=False, solver="clarabel"),
            np.random.default_rng(0),
            np.zeros(12),
            [],
        )
        for _ in range(self.steps):
            out.append(x)
            x = self.A @ x + self.B @ planner.plan(x).trajectory.u[0]
            x[6:9] += 0.01 * rng.standard_normal(3)
        return np.array(out)

    def active(self, planner: LinearMPC, states: np.ndarray) -> float:
        """The share of states whose unconstrained optimum leaves a limit."""
        return float(np.mean([planner._qp.unconstrained(x)[1] > 0 for x in states]))

    def direct(self, qp):
        """OSQP with the same matrices and tolerance, everything else as it comes."""
        import osqp

        solver = osqp.OSQP()
        solver.setup(qp.P, qp._q, qp.C, qp._l, qp._u, verbose=False, eps_abs=1e-5, eps_rel=1e-5)
        return solver

    def ways(self) -> dict[str, Callable[[], object]]:
        """One QP of the middle of the run, solved warm, through OSQP, Clarabel and qpsolvers."""
        import clarabel
        import qpsolvers
        from scipy import sparse

        planner = self.planner(shortcut=False)
        x, qp = self.states()[60], planner._qp
        l, u = qp._l.copy(), qp._u.copy()
        l[:12] = u[:12] = self.A @ x
        direct = self.direct(qp)
        direct.update(l=l, u=u)
        direct.solve(raise_error=False)
        exact = self.planner(shortcut=False, solver="clarabel")._qp._program
        warm = planner.plan(x)
        start = direct.solve(raise_error=False).x
        equal = l == u
        split = {"A": sparse.csc_matrix(qp.C[equal]), "b": u[equal]}
        inside = sparse.vstack([qp.C[~equal & np.isfinite(u)], -qp.C[~equal & np.isfinite(l)]], format="csc")
        h = np.r_[u[~equal & np.isfinite(u)], -l[~equal & np.isfinite(l)]]
        settings = {"eps_abs": 1e-5, "eps_rel": 1e-5}

        def updated():
            direct.update(l=l, u=u)
            direct.solve(raise_error=False)

        assert clarabel is not None
        return {
            "osqp, vectors updated": updated,
            "LinearMPC.plan": lambda: planner.plan(x, warm),
            "clarabel, vectors updated": lambda: exact.solve(qp._q, l, u, None, None),
            "qpsolvers, osqp": lambda: qpsolvers.solve_qp(
                qp.P, qp._q, inside, h, split["A"], split["b"], solver="osqp", initvals=start, **settings
            ),
        }


class Clock:
    """Seconds that pass when they are told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def late(self) -> None:
        self.now += 1.0


def faulty_linear():
    case = Quadrotor(far=False)
    planner = LinearMPC(case.A, case.B, case.Q, 0.1 * np.eye(4), 20, dt=0.05, u_min=-1, u_max=1)
    return planner, 0.3 * np.ones(12), lambda x, u: case.A @ x + case.B @ u, 0.05


def faulty_sampling():
    sim = OdeSimulator(DoubleIntegrator(), dt=0.1)
    sim.u_min, sim.u_max = np.array([-1.0]), np.array([1.0])
    cost = quadratic([1, 0.1], [0.1], x_goal=[0, 0], qf=[5, 5])
    return SamplingPlanner(sim, cost, PredictiveSampling(16, std=0.5), 15), np.ones(2), sim.step, 0.1


FAULTY = {"linear": faulty_linear, "sampling": faulty_sampling}
CLOSED_FORM = {"cartpole": lambda: OdeSimulator(CartPole(force_limit=60.0), dt=0.02, integrator="semi_implicit_euler")}
