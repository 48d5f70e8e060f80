"""What both quadrotors share: four rotors at +x, +y, -x, -y of the body; p is the plant (fields L, kF, kM)."""

import numpy as np

from sims.system import stack


def wrench(p, u):
    """[thrust along body z [N], moments about body x, y, z [N m]] of the inputs u (..., 4)."""
    front, left, back, right = (p.kF * u[..., n] for n in range(4))
    drag = p.kM * (u[..., 0] - u[..., 1] + u[..., 2] - u[..., 3])
    return [front + left + back + right, p.L * (left - right), p.L * (back - front), drag]


def moment_map(p) -> np.ndarray:
    """The matrix (3, 4) that takes u to the body's moments [N m]."""
    arm = p.L * p.kF
    return np.array([[0.0, arm, 0.0, -arm], [-arm, 0.0, arm, 0.0], [p.kM, -p.kM, p.kM, -p.kM]])


def input_matrix(p, up):
    """B (..., 6, 4): forces kF u along up = [x, y, z components of body z in the world], moments in the body frame."""
    zero = 0.0 * up[0]
    forces = [[p.kF * component] * 4 for component in up]
    return stack(forces + [[float(entry) + zero for entry in row] for row in moment_map(p)])


def principal_inertia(owner: str, I) -> tuple[float, float, float]:
    """I as three floats; ValueError unless they are the principal inertias of a real body."""
    values = tuple(float(i) for i in np.ravel(I))
    if len(values) != 3 or min(values) <= 0 or 2 * max(values) > sum(values) * (1 + 1e-12):
        raise ValueError(
            f"{owner}: I must be three positive principal inertias [kg m^2], none above the sum of the two others,"
            f" got {I!r}"
        )
    return values
