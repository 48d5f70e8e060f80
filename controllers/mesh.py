"""A mesh over a box of states and the linear interpolation on its simplices."""

from collections.abc import Sequence

import numpy as np


class Mesh:
    """The nodes of a rectangular grid, and functions that are linear on the simplices each cell is cut into.

    axes: n increasing arrays; periodic: indices of the axes whose last node is the first one again, a period on (it is
    not counted twice). Raises ValueError for axes that do not increase.
    """

    def __init__(self, axes: Sequence[np.ndarray], periodic: Sequence[int] = ()):
        self.axes = tuple(np.asarray(axis, float) for axis in axes)
        for i, axis in enumerate(self.axes):
            if axis.ndim != 1 or len(axis) < 2 or not (np.diff(axis) > 0).all():
                raise ValueError(f"Mesh: axis {i} must be at least two increasing numbers, got {axis.tolist()}")
        self.periodic = tuple(sorted(set(periodic)))
        if any(not 0 <= i < len(self.axes) for i in self.periodic):
            raise ValueError(f"Mesh: periodic axes must lie in 0..{len(self.axes) - 1}, got {self.periodic}")
        self.shape = tuple(len(axis) - (i in self.periodic) for i, axis in enumerate(self.axes))

    @property
    def nodes(self) -> np.ndarray:
        """All nodes (N, n), the last axis fastest."""
        grids = np.meshgrid(*(axis[:size] for axis, size in zip(self.axes, self.shape, strict=True)), indexing="ij")
        return np.stack([grid.ravel() for grid in grids], axis=-1)

    def weights(self, x) -> tuple[np.ndarray, np.ndarray]:
        """Nodes (..., n+1) about x (..., n) and their weights (..., n+1), which are not negative and sum to 1.

        In its cell x has the shares f of the edges; sorted f1 >= f2 >= ..., x lies in the simplex that goes from the
        lowest corner along the axes in that order, with weights 1 - f1, f1 - f2, ..., fn. x beyond the border counts as
        the nearest point of it. Source: Kuhn, 1960; Davies, Multidimensional triangulation and interpolation, 1997.
        """
        x = np.asarray(x, float)
        cell, share = np.empty(x.shape, dtype=int), np.empty(x.shape)
        for i, axis in enumerate(self.axes):
            xi = x[..., i]
            if i in self.periodic:
                xi = axis[0] + np.mod(xi - axis[0], axis[-1] - axis[0])
            cell[..., i] = np.clip(np.searchsorted(axis, xi, side="right") - 1, 0, len(axis) - 2)
            low, high = axis[cell[..., i]], axis[cell[..., i] + 1]
            share[..., i] = np.clip((xi - low) / (high - low), 0.0, 1.0)
        order = np.argsort(-share, axis=-1, kind="stable")
        ranked = np.take_along_axis(share, order, axis=-1)
        weights = -np.diff(ranked, axis=-1, prepend=1.0, append=0.0)
        strides = np.append(np.cumprod(self.shape[:0:-1])[::-1], 1).astype(int)
        corner = cell.copy()
        nodes = np.empty(weights.shape, dtype=int)
        nodes[..., 0] = self._flat(corner, strides)
        for k in range(len(self.axes)):
            axis = order[..., k, None]
            np.put_along_axis(corner, axis, np.take_along_axis(corner, axis, -1) + 1, -1)
            nodes[..., k + 1] = self._flat(corner, strides)
        return nodes, weights

    def interpolate(self, x, values) -> np.ndarray:
        """The function with `values` (N,) at the nodes, at x (..., n)."""
        nodes, weights = self.weights(x)
        return (weights * np.asarray(values)[nodes]).sum(-1)

    def _flat(self, corner: np.ndarray, strides: np.ndarray) -> np.ndarray:
        return (corner % np.array(self.shape)) @ strides  # only periodic axes reach their size
