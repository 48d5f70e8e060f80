"""explain(): the conflict behind an infeasible plan, its violations and its cheapest repair."""

from collections.abc import Mapping
from typing import Any

from controllers.explain.conflict import Oracle, find_conflict
from controllers.explain.elastic import Elastic
from controllers.explain.relax import in_order, relaxation, stretched
from controllers.explain.report import Explanation, Relaxation, sentences
from sims.errors import unknown

KINDS = ("Collocation", "DrakeCollocation", "InverseKinematics", "LinearMPC", "MPC")
ROUNDS = 6
FEASIBLE = "All labelled constraints can be met together. `guess` is a point that does: plan from it."


def explain(planner, x0=None, guess=None, *, weights: Mapping[str, float] | None = None, seed: int = 0) -> Explanation:
    """Why `planner` finds no answer from x0: the labels that conflict, where, and the cheapest single repair.

    planner: a Collocation (or Drake's, of a plant in closed form), a LinearMPC, an MPC around one of them, or an
    InverseKinematics (x0: where to start, or None). The equations of motion and x0 are given; limits, goal, duration
    and constraints are labels that may give way. weights: by label, factors of the cost of a relaxation (amount over
    size of bound), large where a bound should stay; 10 for an equality, a goal, and 1 for all else. guess: as for plan.
    Feasible means that a point was found that keeps all labels; no solver's verdict counts.
    Takes some dozens of solves. Raises ValueError for other planners and unknown labels in weights.
    Source: Chinneck, Feasibility and Infeasibility in Optimization, 2008, chapter 6.
    """
    return explained(elastic_of(planner, x0, guess, seed), weights or {})


def explained(elastic: Elastic, weights: Mapping[str, float]) -> Explanation:
    """The Explanation of any Elastic."""
    limits = elastic.limits
    for label in weights:
        if label not in limits.labels:
            raise unknown("label in weights", label, limits.labels)
    oracle = Oracle(elastic)
    for _ in range(ROUNDS):
        found = find_conflict(oracle)
        if found is None:
            point = oracle.points(frozenset(limits.labels))[0]
            return Explanation(feasible=True, guess=elastic.as_guess(point), message=FEASIBLE)
        conflict = tuple(label for label in limits.labels if label in found)
        alone = {label: stretched(oracle, label, frozenset(limits.labels)) for label in conflict}
        among = {label: stretched(oracle, label, found) if z is None else (a, z) for label, (a, z) in alone.items()}
        if not oracle.known(found):
            break  # else one of these fits met them all: a local search had missed it
    found_at = {label: elastic.values(z) for label, (_, z) in among.items() if z is not None}
    violations = [limits.violation(label, e, elastic.tolerance) for label, e in found_at.items()]
    changes = [relaxation(elastic, label, a, z, weights) for label, (a, z) in alone.items() if z is not None]
    longer = elastic.longer(found)
    if longer is not None:
        conflict, changes = (*conflict, longer.label), [*changes, longer]
    return _explanation(elastic, conflict, tuple(v for v in violations if v is not None), in_order(changes))


def _explanation(elastic: Elastic, conflict, violations, changes) -> Explanation:
    return Explanation(
        feasible=False,
        conflict=conflict,
        minimal="locally minimal" if elastic.local else "minimal",
        violations=violations,
        relaxations=changes,
        message=sentences(conflict, elastic, violations, changes),
    )


def elastic_of(planner, x0, guess, seed: int) -> Elastic:
    """The Elastic of a planner and a start; ValueError for a planner that has none."""
    from controllers.collocation import Collocation
    from controllers.collocation.multibody import DrakeCollocation
    from controllers.ik import InverseKinematics
    from controllers.mpc.linear import LinearMPC
    from controllers.mpc.receding import MPC

    if isinstance(planner, MPC):
        planner = planner.planner
    if isinstance(planner, LinearMPC):
        from controllers.explain.linear import LinearElastic

        return LinearElastic(planner, x0)
    if isinstance(planner, DrakeCollocation):
        planner = Collocation(planner.problem, planner.options)
    if isinstance(planner, Collocation):
        from controllers.explain.transcribed import TranscribedElastic

        return TranscribedElastic(planner, x0, guess, seed=seed)
    if isinstance(planner, InverseKinematics):
        from controllers.explain.posture import PostureElastic

        return PostureElastic(planner, x0)
    raise unknown("planner for explain()", type(planner).__name__, KINDS)


def relax(planner, change: Relaxation) -> Any:
    """The same planner with one label's bounds changed. Raises ValueError for other planners and unknown labels."""
    from controllers.collocation import Collocation
    from controllers.ik import InverseKinematics
    from controllers.mpc.linear import LinearMPC

    if isinstance(planner, LinearMPC):
        from controllers.explain.linear import relaxed

        return relaxed(planner, change)
    if isinstance(planner, Collocation):
        from controllers.explain.change import relaxed_problem

        return Collocation(relaxed_problem(planner.problem, change), planner.options)
    if isinstance(planner, InverseKinematics):
        from controllers.explain import posture

        return posture.relaxed(planner, change)
    raise unknown("planner for relax()", type(planner).__name__, KINDS)
