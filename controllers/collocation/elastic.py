"""How far labelled limits must give way for a problem to have a solution: the ground that a diagnosis stands on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from controllers.collocation.guess import initial
from controllers.collocation.nlp import Block, Bound, Nlp
from controllers.collocation.solve import Options
from controllers.collocation.symbolic import casadi
from controllers.collocation.transcribe import Transcription


@dataclass(frozen=True, eq=False)
class Relaxation:
    """amounts: by how much each label was widened, in its own unit; solved: True if all else then holds.

    z (size,): unknowns of the transcription that meet the widened limits; outside: the largest violation left;
    iterations: IPOPT's.
    """

    amounts: dict[str, float]
    solved: bool
    z: np.ndarray
    outside: float
    iterations: int


def labels(transcription: Transcription, x0=None) -> tuple[str, ...]:
    """Every label of a problem from x0 (nx,), rows first, each once: "dynamics", "input limit torque", ..."""
    rows = [label for label, _ in transcription.rows]
    return tuple(dict.fromkeys(rows + [b.label for b in transcription.bounds_from(x0)[2]]))


def relax(
    transcription: Transcription, x0, soft: Sequence[str], guess=None, options: Options | None = None
) -> Relaxation:
    """The least sum of amounts by which the limits labelled `soft` must be widened; one amount a label, at all knots.

    minimise sum_l s_l, s >= 0, with lower - s_l <= g <= upper + s_l for the rows and bounds of label l, all others as
    they are, the cost left out. A label's amount is 0 if it need not give way. The minimum is local, as the problem is.
    Raises ValueError for a label that the problem does not have. Source: Chinneck, Feasibility and Infeasibility in
    Optimization, 2008, section 6.1 (elastic programs).
    """
    options, soft = options or Options(), tuple(dict.fromkeys(soft))
    known = labels(transcription, x0)
    for label in soft:
        if label not in known:
            from sims.errors import unknown

            raise unknown("label", label, known)
    nlp, (_, _, bounds) = transcription.nlp, transcription.bounds_from(x0)
    slack = {label: nlp.size + i for i, label in enumerate(soft)}
    blocks = [part for block in nlp.blocks for part in _soften(block, slack)]
    blocks += [_bound_rows(label, [b for b in bounds if b.label == label], at) for label, at in slack.items()]
    if soft:
        blocks.append(Block(lambda w: (casadi().sum1(w), None), np.array([list(slack.values())])))
    elastic = Nlp(nlp.size + len(soft), [block for block in blocks if len(block.index)])
    lower, upper = _hard(bounds, slack, nlp.size, len(soft))
    if (lower > upper).any():
        return Relaxation(dict.fromkeys(soft, 0.0), False, np.zeros(nlp.size), float((lower - upper).max()), 0)
    z = initial(transcription, x0, guess, lower[: nlp.size], upper[: nlp.size])
    start = np.concatenate([z, np.ones(len(soft))])
    solver = elastic.solver(options.as_ipopt())
    answer = solver(x0=start, lbx=lower, ubx=upper, lbg=elastic.lower, ubg=elastic.upper)
    found = np.asarray(answer["x"], float).reshape(-1)
    g = elastic.values(found)[1]
    outside = float(np.maximum(elastic.lower - g, g - elastic.upper).max(initial=0.0))
    amounts = {label: max(float(found[at]), 0.0) for label, at in slack.items()}
    solved = bool(outside <= options.feasibility)
    return Relaxation(amounts, solved, found[: nlp.size], outside, int(solver.stats()["iter_count"]))


def _soften(block: Block, slack: dict[str, int]) -> list[Block]:
    """The block without its cost, each of its rows hard, or twice: g - s <= upper and g + s >= lower."""
    if not block.rows:
        return []
    m = block.lower.shape[1]
    named = [label for label, _ in block.rows[:m]]
    used = [label for label in dict.fromkeys(named) if label in slack]
    if not used:
        return [
            Block(lambda w: (None, block.make(w)[1]), block.index, block.lower, block.upper, block.rows, block.unit)
        ]
    nw = block.index.shape[1]
    place = [nw + used.index(label) if label in slack else -1 for label in named]
    index = np.hstack([block.index, np.tile([slack[label] for label in used], (len(block.index), 1))])

    def make(w):
        ca = casadi()
        g = block.make(w[:nw])[1]
        s = ca.vertcat(*[w[i] if i >= 0 else ca.SX(0.0) for i in place])
        return None, ca.vertcat(g - s, g + s)

    open_ = np.full(block.lower.shape, np.inf)
    instances = [block.rows[i * m : (i + 1) * m] for i in range(len(block.index))]
    rows = [row for instance in instances for row in (*instance, *instance)]
    lower, upper = np.hstack([-open_, block.lower]), np.hstack([block.upper, open_])
    return [Block(make, index, lower, upper, rows, block.unit)]


def _bound_rows(label: str, bounds: list[Bound], at: int) -> Block:
    """z - s <= upper and z + s >= lower for every bound of a label."""
    index = np.array([[b.variable, at] for b in bounds], int).reshape(-1, 2)
    lower = np.array([[-np.inf, b.lower] for b in bounds]).reshape(-1, 2)
    upper = np.array([[b.upper, np.inf] for b in bounds]).reshape(-1, 2)
    rows = [(label, b.knot) for b in bounds for _ in range(2)]
    return Block(lambda w: (None, casadi().vertcat(w[0] - w[1], w[0] + w[1])), index, lower, upper, rows)


def _hard(bounds: list[Bound], slack: dict[str, int], size: int, extra: int) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of [z, s] by the labels that stay as they are; a duration is never negative."""
    lower, upper = np.full(size + extra, -np.inf), np.full(size + extra, np.inf)
    for b in bounds:
        if b.label not in slack:
            lower[b.variable], upper[b.variable] = max(lower[b.variable], b.lower), min(upper[b.variable], b.upper)
        elif b.unit == "s" and b.label.endswith("duration"):
            lower[b.variable] = max(lower[b.variable], 1e-6)
    lower[size:] = 0.0
    return lower, upper
