"""Triangles, frames and cameras: the little geometry that every picture needs, in plain NumPy."""

import numpy as np

Mesh = tuple[np.ndarray, np.ndarray]  # vertices (n, 3) [m], faces (m, 3)


def pose(p=(0.0, 0.0, 0.0), R=None) -> np.ndarray:
    """X (4, 4) with translation p (3,) [m] and rotation R (3, 3), the identity unless given."""
    X = np.eye(4)
    X[:3, 3] = p
    if R is not None:
        X[:3, :3] = R
    return X


def poses_of(p, R) -> np.ndarray:
    """X (..., 4, 4) with translations p (..., 3) [m] and rotations R (..., 3, 3), leading axes broadcast."""
    p, R = np.asarray(p, float), np.asarray(R, float)
    X = np.zeros((*np.broadcast_shapes(p.shape[:-1], R.shape[:-2]), 4, 4))
    X[..., :3, 3], X[..., :3, :3], X[..., 3, 3] = p, R, 1.0
    return X


def rotation(axis: str, angle) -> np.ndarray:
    """R (..., 3, 3) by angle (...) [rad] about "x", "y" or "z"."""
    angle = np.asarray(angle, float)
    i = "xyz".index(axis)
    j, k = (i + 1) % 3, (i + 2) % 3
    R = np.zeros((*angle.shape, 3, 3))
    R[..., i, i] = 1.0
    R[..., j, j] = R[..., k, k] = np.cos(angle)
    R[..., k, j] = np.sin(angle)
    R[..., j, k] = -R[..., k, j]
    return R


def align_z(direction) -> np.ndarray:
    """A rotation (3, 3) whose third column is direction (3,) normalised."""
    z = np.asarray(direction, float) / np.linalg.norm(direction)
    x = np.cross([0.0, 1.0, 0.0] if abs(z[1]) < 0.9 else [1.0, 0.0, 0.0], z)
    x /= np.linalg.norm(x)
    return np.column_stack([x, np.cross(z, x), z])


def revolve(radius, height, around: int = 32, sharp: bool = True) -> Mesh:
    """The surface swept by a profile, radii (n,) [m] at heights (n,) [m], about z; seen from outside if heights rise.

    sharp=True gives every ring between two profile segments its own vertices, so that viewers shade a crisp edge there.
    """
    radius, height = np.asarray(radius, float), np.asarray(height, float)
    if sharp:
        radius, height = np.repeat(radius, 2)[1:-1], np.repeat(height, 2)[1:-1]
    n = len(radius)
    turn = np.linspace(0.0, 2 * np.pi, around, endpoint=False)
    ring = np.stack([np.cos(turn), np.sin(turn), np.zeros(around)], axis=-1)
    vertices = radius[:, None, None] * ring + height[:, None, None] * np.array([0.0, 0.0, 1.0])
    rows = range(0, n - 1, 2) if sharp else range(n - 1)
    i, i_next = np.arange(around), (np.arange(around) + 1) % around
    strips = [np.stack([r * around + i, r * around + i_next, (r + 1) * around + i_next], axis=-1) for r in rows] + [
        np.stack([r * around + i, (r + 1) * around + i_next, (r + 1) * around + i], axis=-1) for r in rows
    ]
    return vertices.reshape(-1, 3), np.concatenate(strips)


def ball(radii, half_length: float = 0.0, around: int = 28, rings: int = 8) -> Mesh:
    """An ellipsoid with semi-axes radii (3,) [m]; half_length [m] > 0 pulls its halves apart along z into a capsule."""
    latitude = np.linspace(-np.pi / 2, np.pi / 2, 2 * rings + 1)
    side = np.sign(np.arange(len(latitude)) - rings)
    if half_length:  # two equators, for the straight part between them
        latitude = np.insert(latitude, rings, 0.0)
        side = np.where(np.arange(len(latitude)) <= rings, -1.0, 1.0)
    vertices, faces = revolve(np.cos(latitude), np.sin(latitude), around, sharp=False)
    vertices = vertices * np.asarray(radii, float)
    vertices[:, 2] += half_length * np.repeat(side, around)
    return vertices, faces


def box(half) -> Mesh:
    """A box with half sizes half (3,) [m], four vertices of its own for every face."""
    square = np.array([[-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]], float)
    sides = [square @ rotation(axis, turn).T for axis, turn in (("x", 0), ("x", np.pi), *_QUARTERS)]
    faces = [np.array([[0, 1, 2], [0, 2, 3]]) + 4 * i for i in range(6)]
    return np.concatenate(sides) * np.asarray(half, float), np.concatenate(faces)


_QUARTERS = (("x", np.pi / 2), ("x", -np.pi / 2), ("y", np.pi / 2), ("y", -np.pi / 2))


def cylinder(radius: float, half_length: float, around: int = 32) -> Mesh:
    """A closed cylinder about z."""
    return revolve([0, radius, radius, 0], [-half_length, -half_length, half_length, half_length], around)


def arrow(length: float, width: float) -> Mesh:
    """An arrow from the origin along z, of total length [m] and shaft diameter width [m]."""
    head = min(3.0 * width, 0.5 * length)
    shaft = length - head
    return revolve([0, width / 2, width / 2, 1.3 * width, 0], [0, 0, shaft, shaft, length], around=16)


def merge(meshes: list[Mesh]) -> Mesh:
    """Several meshes as one."""
    starts = np.cumsum([0, *(len(v) for v, _ in meshes)])
    faces = [f + start for (_, f), start in zip(meshes, starts, strict=False)]
    return np.concatenate([v for v, _ in meshes]), np.concatenate(faces)


def move(X: np.ndarray, mesh: Mesh) -> Mesh:
    """The mesh after the motion X (4, 4)."""
    return mesh[0] @ X[:3, :3].T + X[:3, 3], mesh[1]


def grid(center, half: float, step: float) -> np.ndarray:
    """Line segments (n, 2, 3) of a square horizontal grid around center (3,) [m], cell by cell.

    Lines in one piece that pass behind the camera are lost by some software renderers.
    """
    n = max(1, round(half / step))
    ticks = step * np.arange(-n, n + 1)
    start, tick = (a.ravel() for a in np.meshgrid(ticks[:-1], ticks))
    along_x = np.stack([np.stack([start, tick], -1), np.stack([start + step, tick], -1)], axis=1)
    flat = np.concatenate([along_x, along_x[..., ::-1]])
    return np.concatenate([flat, np.zeros((*flat.shape[:-1], 1))], axis=-1) + np.asarray(center, float)
