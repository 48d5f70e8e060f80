"""A growing tree of configurations that answers which of them are near."""

import numpy as np

from controllers.search.space import Space


class Tree:
    """Nodes q (M, n) with their parents, and the nearest of them.

    A k-d tree holds the older nodes and is built anew when the younger ones, which are compared one by one in one
    array operation, outnumber 4 sqrt(M); angles are periodic in both. Source: Bentley, 1975 (k-d tree).
    """

    def __init__(self, space: Space, root):
        self.space = space
        self._angles = list(space.angles)
        self._period = 2 * np.pi * space.weights[self._angles]
        self._box = np.zeros(space.n)
        self._box[self._angles] = self._period
        self._q = np.empty((256, space.n))
        self._z = np.empty((256, space.n))
        self._parent = np.empty(256, dtype=int)
        self.size, self._old, self._kd = 0, 0, None
        self.add(root, -1)

    @property
    def q(self) -> np.ndarray:
        """All nodes (M, n), the root first; a view."""
        return self._q[: self.size]

    @property
    def parents(self) -> np.ndarray:
        """Index of each node's parent (M,), -1 for a root; a view that may be written to."""
        return self._parent[: self.size]

    def coordinates(self, q) -> tuple[np.ndarray, np.ndarray]:
        """q (N, n) scaled so that the metric is Euclidean, and the period (n,) of each component, 0 for none."""
        return self._scaled(np.asarray(q, float)), self._box

    def add(self, q, parent: int) -> int:
        """Add one node; its index."""
        return self.extend(np.asarray(q, float)[None], np.array([parent]))[0]

    def extend(self, q, parents) -> np.ndarray:
        """Add nodes q (N, n) with parents (N,); their indices."""
        first, last = self.size, self.size + len(q)
        while last > len(self._q):
            self._q, self._z = (np.concatenate([a, np.empty_like(a)]) for a in (self._q, self._z))
            self._parent = np.concatenate([self._parent, np.empty_like(self._parent)])
        self._q[first:last], self._z[first:last], self._parent[first:last] = q, self._scaled(q), parents
        self.size = last
        young = last - self._old
        if young > 64 and young * young > 16 * last:
            from scipy.spatial import cKDTree

            self._kd = cKDTree(
                self._z[:last].copy(), boxsize=self._box, balanced_tree=False, compact_nodes=False, copy_data=False
            )
            self._old = last
        return np.arange(first, last)

    def nearest(self, q) -> np.ndarray:
        """Index (N,) of the node nearest to each q (N, n)."""
        z = self._scaled(q)
        found, gap = np.full(len(z), -1), np.full(len(z), np.inf)
        if self._kd is not None:
            gap, found = self._kd.query(z)
        if self._old < self.size:
            squares = self._squares(z)
            best = np.argmin(squares, axis=1)
            distance = np.sqrt(squares[np.arange(len(z)), best])
            found = np.where(distance < gap, best + self._old, found)
        return found

    def near(self, q, radius: float) -> np.ndarray:
        """Indices, ascending, of the nodes within `radius` of q (n,)."""
        z = self._scaled(np.asarray(q, float)[None])
        old = [] if self._kd is None else self._kd.query_ball_point(z[0], radius, return_sorted=True)
        young = np.flatnonzero(self._squares(z)[0] <= radius * radius) + self._old
        return np.concatenate([np.asarray(old, dtype=int), young])

    def branch(self, index: int) -> np.ndarray:
        """The nodes (K, n) from the root to node `index`."""
        chain = []
        while index >= 0:
            chain.append(index)
            index = int(self._parent[index])
        return self._q[chain[::-1]].copy()

    def _scaled(self, q) -> np.ndarray:
        z = q * self.space.weights
        if self._angles:
            z[:, self._angles] %= self._period
            z[:, self._angles] = np.where(z[:, self._angles] >= self._period, 0.0, z[:, self._angles])
        return z

    def _squares(self, z) -> np.ndarray:
        """Squared distances (N, Y) from scaled z (N, n) to the young nodes."""
        d = z[:, None, :] - self._z[self._old : self.size]
        if self._angles:
            turned = np.abs(d[..., self._angles])
            d[..., self._angles] = np.minimum(turned, self._period - turned)
        return (d * d).sum(-1)
