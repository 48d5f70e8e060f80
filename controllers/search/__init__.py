"""Planning by search: random trees and roadmaps, graphs of convex sets, mixed-integer programs, timing of paths."""

from importlib import import_module

# A function named like its file is bound here, or importing that file would put the module in its place
from controllers.search.prm import prm as prm
from controllers.search.rrt import rrt as rrt
from controllers.search.rrt_star import rrt_star as rrt_star

_HOME = {
    "Corridor": "mixed_integer",
    "Curve": "curve",
    "Ellipsoid": "gcs",
    "FreeSpace": "space",
    "GraphPath": "gcs",
    "KinodynamicRRT": "kinodynamic",
    "Path": "path",
    "Polytope": "polytope",
    "QuadrotorAmongObstacles": "flight",
    "RegionPath": "regions",
    "Roadmap": "prm",
    "Space": "space",
    "Timed": "topp",
    "ball": "gcs",
    "convex_shortest_path": "gcs",
    "cuboid": "polytope",
    "free_regions": "regions",
    "hull": "polytope",
    "mixed_integer_path": "mixed_integer",
    "polygon_body": "body",
    "rounded": "topp",
    "rrt_connect": "rrt",
    "se2": "space",
    "shortcut": "shortcuts",
    "smooth_curve": "curve",
    "through_regions": "regions",
    "time_optimal": "topp",
}
__all__ = sorted([*_HOME, "prm", "rrt", "rrt_star"])


def __getattr__(name: str):
    if name in _HOME:
        return getattr(import_module(f"controllers.search.{_HOME[name]}"), name)
    raise AttributeError(f"module 'controllers.search' has no attribute {name!r}; it has: {', '.join(__all__)}")
