"""MuJoCo's collision geometry and contact rules in a Drake SceneGraph.

Pairwise friction: MuJoCo takes the larger coefficient (or that of the geom with priority, or the pair's own), Drake
2 m1 m2 / (m1 + m2), so no value per geom reproduces all pairs. Every geom is therefore registered once for each
coefficient that occurs in one of its pairs, and copies collide only with copies of the same coefficient.

Feet: point contact finds one point per pair of shapes, and a box on one point rocks. Boxes, capsules, cylinders and
meshes get spheres inside their corners, ends and rims, which touch planes (in place of the shape) and boxes and meshes
(beside it): a face then rests on three points or more, as in MuJoCo.

Stiffness: the heaviest tree of bodies on one point sinks in by PENETRATION. DISSIPATION (Hunt-Crossley) is so large
that impacts do not bounce; STICTION_TOLERANCE is the largest creep of a contact that sticks.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import mujoco
import numpy as np
from pydrake.common.eigen_geometry import Quaternion
from pydrake.geometry import (
    AddContactMaterial,
    Box,
    Capsule,
    CollisionFilterDeclaration,
    Convex,
    Cylinder,
    Ellipsoid,
    GeometrySet,
    HalfSpace,
    ProximityProperties,
    SceneGraph,
    Shape,
    Sphere,
)
from pydrake.math import RigidTransform
from pydrake.multibody.plant import CoulombFriction, MultibodyPlant

from sims.drake_check import disabled
from sims.drake_diagram import quiet

PENETRATION = 1e-4  # [m]
DISSIPATION = 50.0  # [s/m]
STICTION_TOLERANCE = 1e-4  # [m/s]
MAX_FEET = 32

PLANE, SPHERE, CAPSULE, ELLIPSOID, CYLINDER, BOX, MESH = (
    int(getattr(mujoco.mjtGeom, f"mjGEOM_{name}"))
    for name in ("PLANE", "SPHERE", "CAPSULE", "ELLIPSOID", "CYLINDER", "BOX", "MESH")
)
_FACETED = (PLANE, BOX, MESH)  # what feet are tested against


def pose(pos, quat) -> RigidTransform:
    """X from a position [m] and a quaternion wxyz of any length."""
    return RigidTransform(Quaternion(np.array(quat) / np.linalg.norm(quat)), np.array(pos))


def colliding_pairs(m: mujoco.MjModel) -> Iterator[tuple[int, int, float]]:
    """(geom, geom, sliding friction) of all pairs that MuJoCo tests, once (its manual, "Computation: Collision")."""
    explicit = {
        (int(a), int(b)): 0.0 if dim == 1 else float(mu)
        for a, b, dim, mu in zip(m.pair_geom1, m.pair_geom2, m.pair_dim, m.pair_friction[:, 0], strict=True)
    }
    for (a, b), mu in explicit.items():
        yield a, b, mu
    excluded = {(int(s) >> 16, int(s) & 0xFFFF) for s in m.exclude_signature}
    active = np.flatnonzero((m.geom_contype | m.geom_conaffinity) != 0)
    filter_parent = not disabled(m, mujoco.mjtDisableBit.mjDSBL_FILTERPARENT)
    for k, a in enumerate(int(i) for i in active):
        for b in (int(i) for i in active[k + 1 :]):
            if (a, b) in explicit or (b, a) in explicit:
                continue
            if _may_touch(m, a, b, excluded, filter_parent):
                yield a, b, _friction(m, a, b)


def _may_touch(m: mujoco.MjModel, a: int, b: int, excluded: set, filter_parent: bool) -> bool:
    if not (m.geom_contype[a] & m.geom_conaffinity[b] or m.geom_contype[b] & m.geom_conaffinity[a]):
        return False
    if int(m.geom_type[a]) == int(m.geom_type[b]) == PLANE:
        return False
    A, B = int(m.geom_bodyid[a]), int(m.geom_bodyid[b])
    if (A, B) in excluded or (B, A) in excluded:
        return False
    weld_a, weld_b = int(m.body_weldid[A]), int(m.body_weldid[B])
    if weld_a == weld_b:
        return False
    parent_a, parent_b = (int(m.body_weldid[m.body_parentid[w]]) for w in (weld_a, weld_b))
    return not (filter_parent and weld_a and weld_b and (weld_a == parent_b or weld_b == parent_a))


def _friction(m: mujoco.MjModel, a: int, b: int) -> float:
    if m.geom_priority[a] != m.geom_priority[b]:
        best = a if m.geom_priority[a] > m.geom_priority[b] else b
        return float(m.geom_friction[best, 0]) if m.geom_condim[best] > 1 else 0.0
    if max(m.geom_condim[a], m.geom_condim[b]) == 1:
        return 0.0
    return float(max(m.geom_friction[a, 0], m.geom_friction[b, 0]))


def contact_stiffness(m: mujoco.MjModel) -> float:
    """The stiffness [N/m] of one contact point: the heaviest tree's weight over PENETRATION."""
    g = float(np.linalg.norm(m.opt.gravity)) or 9.81
    tops = [b for b in range(1, m.nbody) if m.body_weldid[m.body_parentid[b]] == 0 and m.body_weldid[b] != 0]
    return max([float(m.body_subtreemass[b]) for b in tops], default=1.0) * g / PENETRATION


def add_collision_geometry(m: mujoco.MjModel, plant: MultibodyPlant, bodies: list, geoms: dict) -> set:
    """Register all shapes, GeometryId -> MuJoCo geom, in `geoms`; returns the pairs of GeometryId that may touch."""
    shapes: dict[tuple[int, float], list[tuple[Any, bool]]] = {}
    allowed = set()
    stiffness = contact_stiffness(m)

    def copies(g: int, mu: float) -> list[tuple[Any, bool]]:
        if (g, mu) not in shapes:
            shapes[g, mu] = [
                (
                    plant.RegisterCollisionGeometry(bodies[m.geom_bodyid[g]], X, shape, name, _material(stiffness, mu)),
                    foot,
                )
                for X, shape, name, foot in _shapes(m, g, mu)
            ]
            geoms.update({gid: g for gid, _ in shapes[g, mu]})
        return shapes[g, mu]

    with quiet():
        for a, b, mu in colliding_pairs(m):
            allowed |= {_key(p, q) for p, q in _touching(m, a, b, copies(a, mu), copies(b, mu))}
    return allowed


def _touching(m: mujoco.MjModel, a: int, b: int, of_a: list, of_b: list) -> Iterator[tuple[Any, Any]]:
    for p, p_foot in of_a:
        for q, q_foot in of_b:
            if p_foot and q_foot:
                continue
            if not (p_foot or q_foot):
                types = {int(m.geom_type[a]), int(m.geom_type[b])}
                if PLANE in types and MESH not in types and len(of_a) + len(of_b) > 2:
                    continue  # the feet stand on the plane instead
            elif int(m.geom_type[b if p_foot else a]) not in _FACETED:
                continue
            yield p, q


def _key(p, q) -> frozenset:
    return frozenset((p, q))


def filter_collisions(scene_graph: SceneGraph, ids: list, allowed: set) -> None:
    """Let only the allowed pairs of geometries collide."""
    manager = scene_graph.collision_filter_manager()
    for k, p in enumerate(ids):
        others = [q for q in ids[k + 1 :] if _key(p, q) not in allowed]
        if others:
            manager.Apply(CollisionFilterDeclaration().ExcludeBetween(GeometrySet([p]), GeometrySet(others)))


def _material(stiffness: float, mu: float) -> ProximityProperties:
    properties = ProximityProperties()
    # two equal springs in series: each twice as stiff as the contact
    AddContactMaterial(
        dissipation=DISSIPATION, point_stiffness=2 * stiffness, friction=CoulombFriction(mu, mu), properties=properties
    )
    return properties


def _shapes(m: mujoco.MjModel, g: int, mu: float) -> Iterable[tuple[RigidTransform, Shape, str, bool]]:
    X_BG = pose(m.geom_pos[g], m.geom_quat[g])
    name = f"{mujoco.mj_id2name(m, int(mujoco.mjtObj.mjOBJ_GEOM), g) or 'geom'}#{g}/mu{mu!r}"
    yield X_BG, _shape(m, g), name, False
    centres, radius = _feet(m, g)
    for k, p in enumerate(centres):
        yield X_BG @ RigidTransform(np.array(p, float)), Sphere(radius), f"{name}/foot{k}", True


def _shape(m: mujoco.MjModel, g: int) -> Shape:
    kind, size = int(m.geom_type[g]), [float(s) for s in m.geom_size[g]]
    if kind == PLANE:
        return HalfSpace()
    if kind == SPHERE:
        return Sphere(size[0])
    if kind == CAPSULE:
        return Capsule(size[0], 2 * size[1])
    if kind == ELLIPSOID:
        return Ellipsoid(*size)
    if kind == CYLINDER:
        return Cylinder(size[0], 2 * size[1])
    if kind == BOX:
        return Box(*(2 * s for s in size))
    return Convex(mesh_vertices(m, g).T, f"geom{g}")


def mesh_vertices(m: mujoco.MjModel, g: int) -> np.ndarray:
    """The vertices (n, 3) [m] of a mesh geom in the geom's frame."""
    mesh = m.geom_dataid[g]
    return np.array(m.mesh_vert[m.mesh_vertadr[mesh] : m.mesh_vertadr[mesh] + m.mesh_vertnum[mesh]], float)


def _feet(m: mujoco.MjModel, g: int) -> tuple[np.ndarray, float]:
    """Centres (n, 3) in the geom's frame and radius [m] of the spheres a geom stands on; n = 0 if it needs none."""
    kind, size = int(m.geom_type[g]), m.geom_size[g]
    if kind == CAPSULE:
        return np.array([[0, 0, size[1]], [0, 0, -size[1]]]), float(size[0])
    if kind == BOX:
        r = 0.01 * float(size.min())
        corners = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, -1).T
        return corners * (size - r), r
    if kind == CYLINDER:
        r = 0.01 * float(size[:2].min())
        angle = np.arange(8) * np.pi / 4
        rim = np.stack([np.cos(angle), np.sin(angle)], axis=1) * (size[0] - r)
        return np.array([[*p, z] for z in (size[1] - r, r - size[1]) for p in rim]), r
    if kind == MESH:
        return _mesh_feet(mesh_vertices(m, g))
    return np.zeros((0, 3)), 0.0


def _mesh_feet(vertices: np.ndarray) -> tuple[np.ndarray, float]:
    """Up to MAX_FEET vertices of the convex hull, far apart, each moved towards the centroid by its sphere's radius."""
    from scipy.spatial import ConvexHull

    hull = vertices[ConvexHull(vertices).vertices]
    centre = hull.mean(axis=0)
    chosen = [int(np.linalg.norm(hull - centre, axis=1).argmax())]
    distance = np.linalg.norm(hull - hull[chosen[0]], axis=1)
    while len(chosen) < min(MAX_FEET, len(hull)):
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(hull - hull[chosen[-1]], axis=1))
    r = 0.005 * float(np.ptp(hull, axis=0).min())
    towards = hull[chosen] - centre
    return hull[chosen] - r * towards / np.linalg.norm(towards, axis=1, keepdims=True), r
