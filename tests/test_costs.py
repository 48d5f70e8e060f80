"""Laws that hold for every cost: derivatives are those of finite differences, batches are loops, windows are cuts."""

import numpy as np
import pytest
from cost_cases import CASES, QUAD, T
from plant_cases import slope

import dl
from controllers import cost as costs
from controllers import cost_terms, function_cost
from controllers.norms import Barrier, SmoothAbs
from robotics import registry
from sims.scalar import numpy_on_casadi, to_array
from sims.trajectory import Trajectory

COSTS = {name: fn(np.random.default_rng(0)).cost for name, fn in CASES.items()}
GAUSS_NEWTON = [name for name, cost in COSTS.items() if cost.gauss_newton]
ALONG_A_GOAL = [name for name, cost in COSTS.items() if cost.T is not None]
BRANCHING = [name for name in CASES if any(word in name for word in ("manifold", "barrier", "box_by"))]
SYMBOLIC = [name for name in CASES if name not in {*BRANCHING, *ALONG_A_GOAL}]


def stage(case, k: int):
    """The stage of knot k as a function of (dx, du) at that knot alone: the others stay."""

    def value(z):
        x, u = case.x[:-1].copy(), case.u.copy()
        x[k] = case.integrate(x[k], z[: case.size])
        u[k] = u[k] + z[case.size :]
        return case.cost.stage(x, u)[k]

    return value


def terminal(case):
    return lambda z: case.cost.terminal(case.integrate(case.x[-1], z))


def gradient(fn, n: int, h: float = 3e-3) -> np.ndarray:
    return np.array([slope(lambda s, e=e: fn(s * e), h=h) for e in np.eye(n)])


def hessian(fn, n: int) -> np.ndarray:
    def along(e, d, s):
        return slope(lambda t: fn(s * e + t * d), h=6e-3)

    eye = np.eye(n)
    H = np.array([[slope(lambda s, i=i, j=j: along(eye[i], eye[j], s), h=6e-3) if j <= i else 0.0 for j in range(n)]
                  for i in range(n)])  # fmt: skip
    return H + np.tril(H, -1).T


def jacobian(fn, n: int) -> np.ndarray:
    return np.stack([slope(lambda s, e=e: fn(s * e)) for e in np.eye(n)], axis=-1)


def gauss_newton(terms, n: int) -> np.ndarray:
    """The sum of J' rho'' J over (r, rho), with J and rho'' by differences."""
    total = np.zeros((n, n))
    for r, rho in terms:
        r0 = r(np.zeros(n))
        J = jacobian(r, n)
        total += J.T @ hessian(lambda d, rho=rho, r0=r0: rho(r0 + d), len(r0)) @ J
    return total


def near(found, wanted, tolerance: float = 1e-6) -> None:
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max(initial=0.0) <= tolerance * max(1.0, np.abs(wanted).max(initial=0.0))


@pytest.mark.parametrize("name", CASES)
def test_an_expansion_is_the_derivative_of_the_stage(name, rng):
    case = CASES[name](rng)
    n, m = case.size, case.u.shape[-1]
    found = case.cost.expand(case.x[:-1], case.u)
    assert found.lx.shape == (T, n) and found.lu.shape == (T, m)
    near(found.l, case.cost.stage(case.x[:-1], case.u), 1e-12)
    for k in (0, T - 1):
        fn = stage(case, k)
        g = gradient(fn, n + m)
        near(found.lx[k], g[:n])
        near(found.lu[k], g[n:])
        if case.cost.gauss_newton:
            x, u = case.x[k], case.u[k]
            terms = [
                (lambda z, r=r, x=x, u=u, k=k: r(case.integrate(x, z[:n]), u + z[n:], k), rho)
                for r, rho in case.stage_terms
            ]
            H = gauss_newton(terms, n + m)
        else:
            H = hessian(fn, n + m)
        near(found.lxx[k], H[:n, :n])
        near(found.lux[k], H[n:, :n])
        near(found.luu[k], H[n:, n:])


@pytest.mark.parametrize("name", CASES)
def test_an_expansion_of_the_end_is_the_derivative_of_the_terminal_cost(name, rng):
    case = CASES[name](rng)
    n = case.size
    found = case.cost.expand_terminal(case.x[-1])
    assert found.lu is None and found.lux is None and found.luu is None
    near(found.l, case.cost.terminal(case.x[-1]), 1e-12)
    near(found.lx, gradient(terminal(case), n))
    if case.cost.gauss_newton:
        terms = [(lambda z, r=r: r(case.integrate(case.x[-1], z)), rho) for r, rho in case.end_terms]
        near(found.lxx, gauss_newton(terms, n))
    else:
        near(found.lxx, hessian(terminal(case), n))


@pytest.mark.parametrize("name", CASES)
def test_all_knots_at_once_are_the_knots_one_by_one(name, rng):
    case = CASES[name](rng)
    x, u = case.x[:-1], case.u
    together, stages = case.cost.expand(x, u), case.cost.stage(x, u)
    assert stages.shape == (T,)
    batch = case.cost.expand(np.stack([x, x]), np.stack([u, u]))
    for block, wide in zip(together, batch, strict=True):
        assert wide.shape == (2, *block.shape)
        near(wide[1], block, 1e-12)
    for k in range(T):
        cost = case.cost.window(k, 1)
        alone = cost.expand(x[k : k + 1], u[k : k + 1])
        for block, one in zip(together, alone, strict=True):
            near(one[0], block[k], 1e-9)
        near(cost.stage(x[k : k + 1], u[k : k + 1])[0], stages[k], 1e-12)
        if cost.T is None:
            near(cost.expand(x[k], u[k]).lxx, together.lxx[k], 1e-9)


@pytest.mark.parametrize("name", [name for name in CASES if name not in ALONG_A_GOAL])
def test_no_knots_give_empty_blocks(name, rng):
    case = CASES[name](rng)
    found, n, m = case.cost.expand(case.x[:0], case.u[:0]), case.size, case.u.shape[-1]
    assert [block.shape for block in found] == [(0,), (0, n), (0, m), (0, n, n), (0, m, n), (0, m, m)]


@pytest.mark.parametrize("name", GAUSS_NEWTON)
def test_what_gauss_newton_leaves_is_positive_semidefinite(name, rng):
    case = CASES[name](rng)
    found = case.cost.expand(case.x[:-1], case.u)
    H = np.block([[found.lxx, np.swapaxes(found.lux, -1, -2)], [found.lux, found.luu]])
    assert np.linalg.eigvalsh(H).min() > -1e-9 * np.abs(H).max()


@pytest.mark.parametrize("name", ALONG_A_GOAL)
def test_a_window_is_a_cut_and_holds_the_last_goal(name, rng):
    case = CASES[name](rng)
    x, u = case.x[:-1], case.u
    cost, last = case.cost, case.cost.T
    assert last == T
    part = cost.window(2, 3)
    assert part.T == 3
    near(part.stage(x[2:5], u[2:5]), cost.stage(x, u)[2:5], 1e-12)
    near(cost.window(2, T - 2).terminal(x[0]), cost.terminal(x[0]), 1e-12)
    beyond = cost.window(T + 5, 2)
    near(beyond.terminal(x[0]), cost.terminal(x[0]), 1e-12)
    with pytest.raises(ValueError, match=r"along 6 knots.*cost\.window"):
        cost.stage(x[0], u[0])


@pytest.mark.parametrize("name", CASES)
def test_stages_and_ends_are_recorded_by_dl(name, rng):
    case = CASES[name](rng)
    x, u = case.x[:-1], case.u
    near(dl.jit(case.cost.stage)(x, u), case.cost.stage(x, u), 1e-12)
    near(dl.jit(lambda x: case.cost.terminal(x) + 0.0 * x[..., 0])(x), case.cost.terminal(x), 1e-12)
    if case.ndx is None:
        for found, wanted in zip(
            dl.jit(lambda *xu: tuple(case.cost.expand(*xu)))(x, u), case.cost.expand(x, u), strict=True
        ):
            near(np.asarray(found), wanted, 1e-12)


@pytest.mark.parametrize("name", SYMBOLIC)
def test_stages_and_ends_take_casadi_symbols(name, rng):
    casadi = pytest.importorskip("casadi")
    case = CASES[name](rng)
    x, u = casadi.SX.sym("x", case.x.shape[-1]), casadi.SX.sym("u", case.u.shape[-1])
    cost = case.cost
    with numpy_on_casadi():
        stage, end = cost.stage(to_array(x), to_array(u)), cost.terminal(to_array(x))
    fn = casadi.Function("cost", [x, u], [stage, end])
    found = fn(case.x[0], case.u[0])
    near(np.array(found, float).ravel(), np.array([cost.stage(case.x[0], case.u[0]), cost.terminal(case.x[0])]), 1e-12)


def test_costs_add_up(rng):
    a, b = CASES["quadratic"](rng), CASES["function"](rng)
    x, u = a.x[:-1], a.u
    both = 2.0 * a.cost + b.cost
    near(both.stage(x, u), 2.0 * a.cost.stage(x, u) + b.cost.stage(x, u), 1e-14)
    near(both.terminal(x), 2.0 * a.cost.terminal(x) + b.cost.terminal(x), 1e-14)
    assert not both.gauss_newton and (both + CASES["residual"](rng).cost).gauss_newton
    run = Trajectory(np.linspace(0.0, 1.0, T + 1) ** 2, a.x, a.u)
    steps = np.diff(run.t)
    by_hand = sum(both.stage(a.x[k], a.u[k]) * steps[k] for k in range(T)) + both.terminal(a.x[-1])
    near(costs.total_cost(both, run), by_hand, 1e-14)


def test_the_relaxed_barrier_is_finite_outside_and_smooth_at_its_seam():
    rho = Barrier([0.0], [np.inf], 1.0, 0.1)
    r = np.array([[-3.0], [0.0], [0.1 - 1e-9], [0.1 + 1e-9], [5.0]])
    value, (slope_, bend) = rho(r), rho.expand(r)
    assert np.isfinite(value).all() and value[4] == -np.log(5.0)
    near(value[0], np.array(0.5 * ((-3.2 / 0.1) ** 2 - 1) - np.log(0.1)), 1e-14)
    for part in (value, slope_[:, 0], bend[:, 0, 0]):
        assert abs(part[2] - part[3]) < 1e-6 * abs(part[2])


def test_smooth_abs_has_its_limits():
    rho = SmoothAbs([2.0], 0.1)
    near(rho(np.array([[1e3]])), np.array([2.0 * 1e3]), 2e-4)
    near(rho(np.array([[1e-6]])), np.array([2.0 * 1e-12 / 0.2]), 1e-20)


@pytest.mark.parametrize("name", registry.names())
def test_the_cost_of_every_task_has_its_derivatives(name, rng):
    task = registry.make(name)
    cost, goal, m = task.cost, task.x_goal, len(task.u_min)
    assert isinstance(cost, costs.QuadraticCost)
    n = len(cost.Q)
    x, u = cost.integrate(goal, rng.uniform(-0.4, 0.4, n)), rng.normal(size=m)
    stage, end = cost.expand(x, u), cost.expand_terminal(x)
    g = gradient(lambda z: cost.stage(cost.integrate(x, z[:n]), u + z[n:]), n + m)
    near(np.concatenate([stage.lx, stage.lu]), g)
    near(end.lx, gradient(lambda z: cost.terminal(cost.integrate(x, z)), n))
    J = jacobian(lambda z: task.difference(goal, cost.integrate(x, z)), n)
    near(stage.lxx, 2.0 * J.T @ cost.Q @ J)
    near(end.lxx, 2.0 * J.T @ cost.Qf @ J)


def test_a_numpy_number_weighs_a_cost_and_an_array_does_not(rng):
    cost = CASES["quadratic"](rng).cost
    assert isinstance(np.float64(2.0) * cost, costs.SumCost) and isinstance(cost * np.int64(2), costs.SumCost)
    with pytest.raises(ValueError, match="weight"):
        np.ones(2) * cost
    with pytest.raises(TypeError):
        cost + 1.0


GOOD = {"x_goal": np.zeros(2)}
BAD = {
    "Q is not semidefinite": (lambda: costs.quadratic([1, -1], [1], **GOOD), "positive semidefinite.*-1"),
    "Q is not symmetric": (
        lambda: costs.QuadraticCost([[1, 2], [0, 1]], np.eye(1), np.eye(2), np.zeros(2), np.zeros(1)),
        "Q must be symmetric",
    ),
    "Q does not fit": (lambda: costs.quadratic([1, 1, 1], [1], **GOOD), r"Q must be \(2, 2\), got \(3, 3\)"),
    "R does not fit": (lambda: costs.quadratic([1, 1], [1], u_goal=[1, 2], **GOOD), r"R must be \(2, 2\)"),
    "Qf does not fit": (lambda: costs.quadratic([1, 1], [1], qf=[1], **GOOD), r"Qf must be \(2, 2\)"),
    "a goal is nan": (lambda: costs.quadratic([1, 1], [1], x_goal=[0, np.nan]), "x_goal must be finite"),
    "goals do not fit": (
        lambda: costs.quadratic([1], [1], x_goal=np.zeros((5, 1)), u_goal=np.zeros((5, 1))),
        "x_goal has 5 knots, so u_goal must have 4",
    ),
    "a batch of trajectories": (
        lambda: costs.tracking([1], [1], Trajectory(np.arange(2.0), np.zeros((3, 2, 1)), np.zeros((3, 1, 1)))),
        "one trajectory",
    ),
    "a negative weight": (lambda: -1.0 * costs.quadratic([1, 1], [1], **GOOD), "weight must be a finite number >= 0"),
    "two lengths": (
        lambda: costs.quadratic([1], [1], x_goal=np.zeros((3, 1))) + costs.quadratic([1], [1], x_goal=np.zeros((5, 1))),
        "T = 2 and 4",
    ),
    "no function": (lambda: function_cost.from_function(), "needs a function"),
    "no weights": (lambda: function_cost.residual(lambda x, u: x), "needs weights"),
    "weights of a residual": (lambda: function_cost.residual(lambda x, u: x, [1, -2]), "positive semidefinite"),
    "no weights at the end": (lambda: function_cost.residual(None, [1.0], terminal=np.sin), "terminal"),
    "alpha": (lambda: cost_terms.smooth_abs([1, 1], [1], alpha=0.0, **GOOD), "alpha > 0"),
    "smooth weights": (lambda: cost_terms.smooth_abs([1, -1], [1], alpha=1.0, **GOOD), "w must be >= 0"),
    "sizes of smooth weights": (lambda: cost_terms.smooth_abs([1, 1, 1], [1], alpha=1.0, **GOOD), "has 2 components"),
    "delta": (lambda: Barrier([0.0], [1.0], 1.0, 0.0), "mu and delta must be positive"),
    "barrier's bounds": (lambda: Barrier([1.0], [1.0], 1.0, 0.1), "lower < upper"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_costs_get_one_clear_error(name):
    make, words = BAD[name]
    with pytest.raises(ValueError, match=words):
        make()


def test_functions_that_do_not_fit_are_named(rng):
    x, u = rng.normal(size=(5, 3)), rng.normal(size=(5, 1))
    whole = function_cost.from_function(lambda x, u: (x * x).sum())
    with pytest.raises(ValueError, match="one number a knot"):
        whole.stage(x, u)
    with pytest.raises(ValueError, match="for each knot"):
        whole.expand(x, u)
    with pytest.raises(ValueError, match="3 components, its weights are for 2"):
        function_cost.residual(lambda x, u: x, [1.0, 2.0]).expand(x, u)
    with pytest.raises(TypeError, match="must return an array"):
        function_cost.from_function(lambda x, u: "none").expand(x, u)
    flat_space = costs.quadratic(np.ones(12), np.ones(4), x_goal=np.eye(13)[3], difference=QUAD.difference)
    with pytest.raises(ValueError, match=r"13 components, tangent vectors 12: pass integrate=sim\.integrate"):
        flat_space.expand(np.eye(13)[3], np.zeros(4))
