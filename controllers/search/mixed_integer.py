"""Shortest polylines among polygonal obstacles by mixed-integer programming, with a proof of how good they are."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from time import perf_counter

import numpy as np

from controllers.search.drake_solvers import needs_drake
from controllers.search.path import Path, length, positive
from controllers.search.polytope import Polytope, cuboid
from controllers.search.space import FreeSpace, Space

DIRECTIONS = {1: 2, 2: 32, 3: 96}  # supporting directions that stand in for the round norm


@dataclass(frozen=True, kw_only=True, eq=False)
class Corridor:
    """A polyline path and the convex region about each of its motions: motion k lies in regions[k].

    bound: no polyline of as many motions among the obstacles is shorter, proved by branch and bound.
    """

    path: Path
    regions: tuple[Polytope, ...]
    bound: float

    @property
    def ok(self) -> bool:
        """Whether there is a path."""
        return self.path.ok


def mixed_integer_path(
    obstacles: Sequence[Polytope],
    lower,
    upper,
    start,
    goal,
    *,
    motions: int = 8,
    margin: float = 1e-3,
    gap: float = 0.01,
    time_limit: float = 30.0,
) -> Corridor:
    """The shortest polyline of at most `motions` pieces from start to goal (m,) in the box lower..upper, m <= 3.

    For every motion k and obstacle o a binary chooses the face f both of whose ends lie outside, a_f'p >= b_f: then the
    whole motion does, and what the choices of a motion leave is its convex region. The length is the largest of u'd
    over fixed directions u (below the true one by at most 0.5 % in the plane), so the program is linear; with the
    choices fixed, the waypoints then minimise the true length. Obstacles are grown by margin [m], which also closes
    gaps of no width, as between an obstacle and the wall it stands at. The search stops when the bound is within the
    relative `gap`, or after time_limit [s], with status "iteration_limit" if nothing was found. No path is status
    "infeasible", and that is a proof for this number of motions. Source: Richards and How, Aircraft trajectory planning
    with collision avoidance using mixed integer linear programming, 2002; Mellinger, Kushleyev and Kumar, 2012 (one
    face for a whole piece); solved by SciPy's HiGHS.
    """
    needs_drake("mixed_integer_path")
    positive("mixed_integer_path", motions=motions, gap=gap, time_limit=time_limit)
    begin = perf_counter()
    lower, upper = np.asarray(lower, float), np.asarray(upper, float)
    free = FreeSpace(Space(lower, upper), tuple(obstacle.grown(margin) for obstacle in obstacles))
    start, goal = np.asarray(start, float), np.asarray(goal, float)
    for name, q in (("start", start), ("goal", goal)):
        reason = free.problem(q, name)
        if reason:
            return _nothing(free, "infeasible", reason, begin)
    program = _Program(free, start, goal, motions)
    solution = program.solve(gap, time_limit)
    if solution.x is None:
        if solution.status == 2:
            message = f"no polyline of {motions} motions from start to goal misses the obstacles: allow more motions"
            return _nothing(free, "infeasible", message, begin)
        return _nothing(free, "iteration_limit", f"nothing found: {solution.message}", begin)
    bound = float(solution.fun if solution.mip_dual_bound is None else solution.mip_dual_bound)
    q, regions = _taut(program.regions(solution.x), start, goal, program.waypoints(solution.x))
    cost = length(free.space, q)
    message = f"length {cost:.6g} in {len(q) - 1} motions, no polyline of {motions} is shorter than {bound:.6g}"
    path = Path(space=free.space, q=q, cost=cost, message=message, seconds=perf_counter() - begin)
    return Corridor(path=path, regions=regions, bound=bound)


def _taut(regions: tuple[Polytope, ...], start, goal, guess) -> tuple[np.ndarray, tuple[Polytope, ...]]:
    """The shortest waypoints in the regions, and the regions, both without the motions that have no length."""
    q = _polish(regions, start, goal, guess)
    moved = np.linalg.norm(np.diff(q, axis=0), axis=1) > 1e-6 * (1 + np.linalg.norm(goal - start))
    moved[-1] |= not moved.any()
    q = np.concatenate([start[None], q[:-1][moved][1:], goal[None]])
    return q, tuple(region for region, kept in zip(regions, moved, strict=True) if kept)


class _Program:
    """The variables [p (N+1, m), length (N,), z (N, faces)] and constraints of the mixed-integer linear program."""

    def __init__(self, free: FreeSpace, start, goal, motions: int):
        self.free, self.N, self.m = free, motions, free.space.n
        self.obstacles = free.obstacles
        self.faces = sum(len(obstacle.b) for obstacle in self.obstacles)
        self.sizes = ((self.N + 1) * self.m, self.N, self.N * self.faces)
        longest = float(np.linalg.norm(free.space.upper - free.space.lower))
        waypoints = [np.tile(bound, self.N + 1) for bound in (free.space.lower, free.space.upper)]
        for bound in waypoints:
            bound[: self.m], bound[-self.m :] = start, goal
        self.low = np.concatenate([waypoints[0], np.zeros(self.N), np.zeros(self.sizes[2])])
        self.high = np.concatenate([waypoints[1], np.full(self.N, longest), np.ones(self.sizes[2])])
        self.integer = np.repeat([0, 0, 1], self.sizes)
        self.cost = np.repeat([0.0, 1.0, 0.0], self.sizes)

    def solve(self, gap: float, time_limit: float):
        """SciPy's result."""
        from scipy.optimize import Bounds, LinearConstraint, milp

        return milp(
            self.cost,
            integrality=self.integer,
            bounds=Bounds(self.low, self.high),
            constraints=LinearConstraint(*self.rows()),
            options={"mip_rel_gap": gap, "time_limit": time_limit},
        )

    def rows(self):
        """The constraints low <= A x <= high as a sparse matrix and its bounds."""
        from scipy.sparse import block_array, csr_array, eye_array, kron

        N, m, eye = self.N, self.m, eye_array(self.N)
        U = directions(m)
        difference = eye_array(N, N + 1, k=1) - eye_array(N, N + 1)
        lengths = [-kron(difference, U), kron(eye, np.ones((len(U), 1))), None]  # length >= u'd
        if not self.faces:
            A = block_array([lengths[:2]]).tocsr()
            return A, np.zeros(N * len(U)), np.full(N * len(U), np.inf)
        faces = np.vstack([obstacle.A for obstacle in self.obstacles])
        b = np.concatenate([obstacle.b for obstacle in self.obstacles])
        box = np.where(faces > 0, self.free.space.lower, self.free.space.upper)
        big = np.maximum(b - np.sum(faces * box, axis=1), 0.0)  # the most a face can be missed by in the box
        ends = [
            [kron(pick, csr_array(faces)), None, kron(eye, csr_array(-np.diag(big)))]
            for pick in (eye_array(N, N + 1), eye_array(N, N + 1, k=1))
        ]  # a'p - M z >= b - M
        which = np.repeat(np.arange(len(self.obstacles)), [len(obstacle.b) for obstacle in self.obstacles])
        one = csr_array((np.arange(len(self.obstacles))[:, None] == which).astype(float))
        chosen = [None, None, kron(eye, one)]  # some face of each obstacle
        A = block_array([lengths, *ends, chosen]).tocsr()
        low = np.concatenate([np.zeros(N * len(U)), np.tile(b - big, 2 * N), np.ones(N * len(self.obstacles))])
        return A, low, np.full(len(low), np.inf)

    def waypoints(self, x) -> np.ndarray:
        """The points p (N+1, m) of a solution."""
        return x[: self.sizes[0]].reshape(self.N + 1, self.m)

    def regions(self, x) -> tuple[Polytope, ...]:
        """The convex region of each motion: the box cut by the face chosen for each obstacle, the widest if several."""
        p, z = self.waypoints(x), x[self.sizes[0] + self.sizes[1] :].reshape(self.N, self.faces)
        box = cuboid(self.free.space.lower, self.free.space.upper)
        found = []
        for k in range(self.N):
            A, b, first = [box.A], [box.b], 0
            for obstacle in self.obstacles:
                clearance = (p[k : k + 2] @ obstacle.A.T - obstacle.b).min(0)
                open_faces = z[k, first : first + len(obstacle.b)] > 0.5
                f = int(np.argmax(np.where(open_faces, clearance, -np.inf)))
                A.append(-obstacle.A[f : f + 1])
                b.append(-obstacle.b[f : f + 1])
                first += len(obstacle.b)
            found.append(Polytope(np.vstack(A), np.concatenate(b)))
        return tuple(found)


def directions(m: int) -> np.ndarray:
    """Unit vectors (K, m) spread over the sphere: evenly in the plane, by the golden angle in space."""
    if m == 1:
        return np.array([[1.0], [-1.0]])
    if m not in DIRECTIONS:
        raise ValueError(f"mixed_integer_path: the box must have 1 to 3 dimensions, got {m}")
    i = np.arange(DIRECTIONS[m])
    if m == 2:
        angle = 2 * np.pi * i / len(i)
        return np.column_stack([np.cos(angle), np.sin(angle)])
    z, angle = 1 - (2 * i + 1) / len(i), np.pi * (3 - np.sqrt(5)) * i
    r = np.sqrt(1 - z * z)
    return np.column_stack([r * np.cos(angle), r * np.sin(angle), z])


def _polish(regions: Sequence[Polytope], start, goal, guess) -> np.ndarray:
    """The shortest polyline (N+1, m) whose motion k lies in regions[k]; the guess if the solver gives up."""
    from pydrake.solvers import ClarabelSolver, MathematicalProgram

    N, m = len(regions), len(start)
    program = MathematicalProgram()
    p = program.NewContinuousVariables((N + 1) * m).reshape(N + 1, m)
    D = np.hstack([-np.eye(m), np.eye(m)])
    for k, region in enumerate(regions):
        program.AddL2NormCostUsingConicConstraint(D, np.zeros(m), np.concatenate([p[k], p[k + 1]]))
        for end in (p[k], p[k + 1]):
            program.AddLinearConstraint(region.A, np.full(len(region.b), -inf), region.b, end)
    program.AddBoundingBoxConstraint(start, start, p[0])
    program.AddBoundingBoxConstraint(goal, goal, p[-1])
    result = ClarabelSolver().Solve(program)
    if not result.is_success():
        return guess
    q = result.GetSolution(p.ravel()).reshape(N + 1, m)
    q[0], q[-1] = start, goal
    return q


def _nothing(free: FreeSpace, status: str, message: str, begin: float) -> Corridor:
    path = Path(space=free.space, q=np.empty((0, free.space.n)), status=status, message=message)
    return Corridor(path=replace(path, seconds=perf_counter() - begin), regions=(), bound=inf)
