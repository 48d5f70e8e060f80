"""Past obstacles: random trees, a roadmap, convex sets, a mixed-integer program; and a quadrotor that flies there."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from controllers.search import (
    FreeSpace,
    QuadrotorAmongObstacles,
    Space,
    cuboid,
    free_regions,
    hull,
    mixed_integer_path,
    prm,
    rrt_connect,
    rrt_star,
    shortcut,
    through_regions,
)
from sims.plants import PlanarQuadrotor

lower, upper, start, goal = [0, 0], [10, 10], [1, 1], [9, 8]
obstacles = [
    cuboid([2, -1], [3, 7]),
    cuboid([5, 3], [6, 11]),
    hull([[7, 1], [9, 2], [8, 4]]),
    hull([[3.5, 8], [4.5, 8.5], [4, 9.5]]),
]
free = FreeSpace(Space(lower, upper), obstacles)

first = rrt_connect(free, start, goal, seed=1)
star = rrt_star(free, start, goal, iterations=2000)
found = {
    "RRT-Connect": first,
    "the same with shortcuts": shortcut(free, first),
    "RRT*, 2000 iterations": star,
    "PRM*, 2000 configurations": prm(free, count=2000).path(start, goal),
}
paths = {name: (path.q, path.cost) for name, path in found.items()}
integer = mixed_integer_path(obstacles, lower, upper, start, goal, motions=6)
paths["mixed-integer program"] = integer.path.q, integer.path.cost
regions = free_regions(obstacles, lower, upper, points=[start, goal])
through = through_regions(regions, start, goal)
paths["graph of convex sets"] = through.curve.points[:, [0, -1]].reshape(-1, 2), through.cost
for name, (_, cost) in paths.items():
    print(f"{name:26} {cost:.3f} m")
print(f"proved: no polyline of 6 motions is shorter than {integer.bound:.3f} m")

rotors = PlanarQuadrotor(thrust_min=0.0, thrust_max=5.0)
plan = QuadrotorAmongObstacles(rotors, obstacles, lower, upper, goal).plan([*start, 0, 0, 0, 0])
print(f"quadrotor: {plan.status}, {plan.message}")

figure, axes = plt.subplots(1, 2, figsize=(11, 5.5))
for ax in axes:
    for obstacle in obstacles:
        ax.fill(*obstacle.vertices().T, color="0.6")
    ax.set(xlim=(0, 10), ylim=(0, 10), aspect="equal")
child = (star.parents >= 0).nonzero()[0]
for i in child:
    axes[0].plot(*star.nodes[[i, star.parents[i]]].T, color="0.85", linewidth=0.5)
for name, (q, cost) in paths.items():
    axes[0].plot(*q.T, label=f"{name}: {cost:.2f} m")
axes[0].legend(fontsize=7, loc="lower right")
for region in regions:
    axes[1].fill(*region.vertices().T, alpha=0.1)
axes[1].plot(*plan.trajectory.x[:, :2].T, "k", label=f"flight of {plan.cost:.2f} s")
axes[1].legend(loc="lower right")
figure.tight_layout()
figure.savefig("plan_past_obstacles.png", dpi=120)
assert plan.ok
