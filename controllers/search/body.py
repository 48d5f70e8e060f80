"""A rigid body among obstacles: whether a polygon at a pose touches one."""

from collections.abc import Callable, Sequence

import numpy as np

from controllers.search.polytope import Polytope, hull


def polygon_body(vertices, obstacles: Sequence[Polytope], *, margin: float = 0.0) -> Callable[[np.ndarray], np.ndarray]:
    """free(q) for a FreeSpace over SE(2): whether the convex polygon with `vertices` (V, 2) [m] at q misses obstacles.

    q (N, 3) = [x, y [m], theta [rad]] -> (N,) bool: exact at each pose, by separating axes; vertices are in the body's
    frame, obstacles polygons in the plane, grown by margin [m]. Between two poses tested, a resolution apart, a point
    of the body moves at most 0.71 resolution from the nearer one (if a turn of 1 rad counts as at least the body's
    radius, see `se2`): that margin makes whole motions free. Source: Gottschalk, Separating axis theorem, 1996.
    """
    body = hull(vertices)
    corners = body.vertices()
    walls = [(obstacle, obstacle.vertices()) for obstacle in (obstacle.grown(margin) for obstacle in obstacles)]

    def free(q: np.ndarray) -> np.ndarray:
        q = np.asarray(q, float)
        c, s = np.cos(q[:, 2]), np.sin(q[:, 2])
        R = np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2)
        there = corners @ np.swapaxes(R, -1, -2) + q[:, None, :2]
        ok = np.ones(len(q), dtype=bool)
        for obstacle, points in walls:
            beyond_wall = ((there @ obstacle.A.T).min(1) >= obstacle.b).any(-1)
            local = (points - q[:, None, :2]) @ R
            beyond_body = ((local @ body.A.T).min(1) >= body.b).any(-1)
            ok &= beyond_wall | beyond_body
        return ok

    return free
