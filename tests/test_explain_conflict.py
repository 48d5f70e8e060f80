"""Conflicts of random linear MPCs against brute force over all subsets; stray cases of the parts of explain()."""

from itertools import chain, combinations

import numpy as np
import pytest
from scipy.optimize import linprog

pytest.importorskip("clarabel", reason="Clarabel is not installed: pip install clarabel")

from mpc_cases import double_integrator, random_plant, simulate

from controllers.constraint import Constraint
from controllers.explain import explain
from controllers.explain.conflict import Oracle, find_conflict
from controllers.explain.limits import Limit, Limits
from controllers.explain.linear import LinearElastic
from controllers.explain.relax import round_up
from controllers.mpc.linear import LinearMPC

T = 4


def planted(seed: int) -> tuple[LinearMPC, np.ndarray, list[Constraint]]:
    """A random plant and six random half spaces or slabs at random knots: most of the time they cannot all be met."""
    rng = np.random.default_rng(seed)
    A, B, Q, R = random_plant(rng, 3, 1)
    constraints = []
    for i in range(6):
        h, w = rng.standard_normal((1, 3)), rng.standard_normal((1, 1)) * (i % 2)
        middle = rng.uniform(-3, 3)
        low, high = (middle - 0.3, middle + 0.3) if i < 3 else (-np.inf, middle - 1.5)
        at = (int(rng.integers(1, T + (not w.any()))),) if i % 3 else "final"
        constraints.append(
            Constraint(f"c{i}", lambda x, u, h=h, w=w: x @ h.T + u @ w.T, low, high, at, "m", "xu" if w.any() else "x")
        )
    mpc = LinearMPC(A, B, Q, R, T, dt=0.1, u_min=-1.5, u_max=1.5, constraints=constraints)
    return mpc, rng.standard_normal(3), constraints


def rows(mpc: LinearMPC, x0: np.ndarray, constraint: Constraint) -> tuple[np.ndarray, np.ndarray]:
    """G, h of a constraint as G u <= h in the inputs alone, by simulating unit inputs one after the other."""

    def g(u):
        x, at = simulate(mpc, x0, u), constraint.at(T)
        return constraint.value(x[at], Constraint.inputs(u, at)).ravel()

    free = g(np.zeros((T, 1)))
    J = np.array([g(e.reshape(T, 1)) - free for e in np.eye(T)]).T
    low, high = np.tile(constraint.lower, len(constraint.at(T))), np.tile(constraint.upper, len(constraint.at(T)))
    G, h = np.vstack([J, -J]), np.concatenate([high - free, free - low])
    return G[np.isfinite(h)], h[np.isfinite(h)]


def feasible(blocks: list[tuple[np.ndarray, np.ndarray]]) -> bool:
    """Is there a u with all G u <= h? Phase one: min t, G u - t <= h, t >= -1."""
    if not blocks:
        return True
    G, h = np.vstack([b[0] for b in blocks]), np.concatenate([b[1] for b in blocks])
    A = np.hstack([G, -np.ones((len(h), 1))])
    answer = linprog(np.r_[np.zeros(T), 1.0], A, h, bounds=[(None, None)] * T + [(-1.0, None)], method="highs-ds")
    return answer.fun <= 1e-7


@pytest.mark.parametrize("seed", range(30))
def test_conflicts_of_random_problems_are_the_smallest_there_are(seed):
    mpc, x0, constraints = planted(seed)
    limit = Constraint("input limit u[0]", lambda x, u: u, [-1.5], [1.5], reads="u")
    blocks = {c.label: rows(mpc, x0, c) for c in (limit, *constraints)}
    subsets = chain.from_iterable(combinations(blocks, n) for n in range(len(blocks) + 1))
    minimal: list[set[str]] = []
    for subset in map(set, subsets):  # by size
        if not any(known <= subset for known in minimal) and not feasible([blocks[label] for label in subset]):
            minimal.append(subset)
    why = explain(mpc, x0)
    assert why.feasible == (not minimal)
    if not minimal:
        return
    found = set(why.conflict) - {"horizon"}
    assert found in minimal and len(found) == len(minimal[0]) and why.minimal == "minimal"
    repairs = {r.label for r in why.relaxations}
    for violation in why.violations:  # beside all others where that is a repair, else beside the rest of the conflict
        held = (set(blocks) if violation.label in repairs else found) - {violation.label}
        assert_smallest(violation.amount, blocks[violation.label], [blocks[label] for label in held])
    assert all(r.answer.ok for r in why.relaxations if r.verified)
    possible = {label for label in found if feasible([block for other, block in blocks.items() if other != label])}
    assert repairs - {"horizon"} == possible


def assert_smallest(amount: float, block, others) -> None:
    """amount is the smallest t with G u <= h + t beside the others."""
    assert feasible([(block[0], block[1] + amount + 1e-6), *others])
    assert not feasible([(block[0], block[1] + 0.999 * amount - 1e-6), *others])


def test_most_of_the_random_problems_have_a_conflict():
    sizes = [len(find_conflict(Oracle(LinearElastic(*planted(seed)[:2]))) or ()) for seed in range(30)]
    assert sum(size > 1 for size in sizes) > 10 and max(sizes) > 2


def test_an_oracle_answers_by_points():
    mpc, x0, _ = planted(0)
    elastic = LinearElastic(mpc, x0)
    oracle = Oracle(elastic)
    found = find_conflict(oracle)
    assert found is not None
    spent = oracle.fits
    for label in found:
        part = found - {label}
        assert oracle.feasible(part) and oracle.points(part)
        for z in oracle.points(part):
            assert elastic.stray(z) < 1e-6 and part <= elastic.keeps(z)
    assert not oracle.feasible(found) and oracle.points(found) == []
    assert oracle.fits == spent
    assert oracle.see(np.full_like(oracle.points(frozenset())[0], np.nan), frozenset()) is False


def test_without_labels_there_is_no_conflict():
    A, B, Q, R = double_integrator()
    why = explain(LinearMPC(A, B, Q, R, 5, dt=0.1), [1.0, 0.0])
    assert why.feasible and str(why) == why.message


def test_soft_rows_are_no_part_of_a_conflict():
    A, B, Q, R = double_integrator()
    limits = {"u_min": -1, "u_max": 1, "x_max": [np.inf, 1.0], "x_names": ("q", "v")}
    hard = explain(LinearMPC(A, B, Q, R, 6, dt=0.1, **limits), [0.0, 1.5])
    assert hard.conflict == ("input limit u[0]", "state limit v")
    assert str(hard.cheapest) == "state limit v: at most 1.41 instead of 1"
    assert explain(LinearMPC(A, B, Q, R, 6, dt=0.1, soft=40.0, **limits), [0.0, 1.5]).feasible


def test_the_table_of_limits():
    limits = Limits.of([Limit("a", 0, -2.0, 2.0, "m"), Limit("b", 1, 0.0, np.inf), Limit("a", 2, -np.inf, 1.0, "m")])
    assert limits.labels == ("a", "b") and limits.units == ("m", "") and limits.scale.tolist() == [2.0, 1.0]
    e = np.array([2.5, -1.0, np.nan])
    assert limits.outside(e).tolist() == [0.5, 1.0, np.inf]
    violation = limits.violation("a", np.array([2.5, 0.0, 1.25]), 1e-6)
    assert violation is not None and (violation.knots, violation.amount, violation.unit) == ((0, 2), 0.5, "m")
    assert limits.violation("b", e * 0.0, 1e-6) is None


@pytest.mark.parametrize(
    "amount, digits, wanted", [(0.3737, 2, 0.38), (0.38, 2, 0.38), (123.0, 2, 130.0), (5e-6, 2, 5e-6)]
)
def test_rounding_up(amount, digits, wanted):
    assert round_up(amount, digits) == wanted
