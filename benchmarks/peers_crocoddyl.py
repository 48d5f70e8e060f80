"""The problems of benchmarks/ilqr.py for crocoddyl: same plant, step (semi-implicit Euler), cost and limits."""

import crocoddyl
import numpy as np
import pinocchio as pin


class PythonCartPole(crocoddyl.DifferentialActionModelAbstract):
    """The cart-pole and its cost in Python, as crocoddyl's own example writes it; derivatives by hand."""

    def __init__(self, plant, q, r, goal):
        super().__init__(crocoddyl.StateVector(4), 1, 1)
        self.plant, self.q, self.r, self.goal = plant, np.asarray(q, float), r, np.asarray(goal, float)

    def terms(self, x, u):
        p = self.plant
        s, c, ml = np.sin(x[1]), np.cos(x[1]), p.mp * p.l
        m11, m12, m22 = p.mc + p.mp, ml * c, ml * p.l
        force, torque = u + ml * s * x[3] * x[3], -ml * p.g * s
        det = m11 * m22 - m12 * m12
        xout = np.array([(m22 * force - m12 * torque) / det, (m11 * torque - m12 * force) / det])
        return s, c, ml, m11, m12, m22, force, torque, det, xout

    def calc(self, data, x, u=None):
        u = 0.0 if u is None else u[0]
        data.xout = self.terms(x, u)[-1]
        e = x - self.goal
        data.cost = float(e @ (self.q * e)) + self.r * u * u

    def calcDiff(self, data, x, u=None):
        u = 0.0 if u is None else u[0]
        s, c, ml, m11, m12, m22, force, torque, det, a = self.terms(x, u)
        d_force, d_torque, d_m12 = ml * c * x[3] * x[3], -ml * self.plant.g * c, -ml * s
        d_det, spin = -2.0 * m12 * d_m12, 2.0 * ml * s * x[3]
        Fx = np.zeros((2, 4))
        Fx[0, 1] = (m22 * d_force - d_m12 * torque - m12 * d_torque - a[0] * d_det) / det
        Fx[1, 1] = (m11 * d_torque - d_m12 * force - m12 * d_force - a[1] * d_det) / det
        Fx[:, 3] = m22 * spin / det, -m12 * spin / det
        data.Fx, data.Fu = Fx, np.array([[m22 / det], [-m12 / det]])
        e = x - self.goal
        data.Lx, data.Lxx = 2.0 * self.q * e, np.diag(2.0 * self.q)
        data.Lu, data.Luu = np.array([2.0 * self.r * u]), np.array([[2.0 * self.r]])


def in_python(problem, x0):
    """The shooting problem with PythonCartPole."""
    plant, limit = problem.plant, problem.limit
    running = PythonCartPole(plant, problem.q, problem.r[0], problem.goal)
    end = PythonCartPole(plant, problem.qf, 0.0, problem.goal)
    return shooting(x0, running, end, np.array([-limit[0]]), np.array([limit[0]]), problem)


def in_pinocchio(problem, x0):
    """The shooting problem with pinocchio's articulated-body algorithm, all in C++.

    crocoddyl's wheel has no actuation in C++ for a passive joint that follows a driven one: the pole gets an input with
    both limits at zero.
    """
    plant = problem.plant
    model = pin.Model()
    model.gravity.linear = np.array([0.0, 0.0, -plant.g])
    cart = model.addJoint(0, pin.JointModelPX(), pin.SE3.Identity(), "cart")
    model.appendBodyToJoint(cart, pin.Inertia(plant.mc, np.zeros(3), np.zeros((3, 3))), pin.SE3.Identity())
    # turned about -y the tip swings towards +x, as theta does
    placed = pin.SE3(np.diag([1.0, -1.0, -1.0]), np.zeros(3))
    pole = model.addJoint(cart, pin.JointModelRY(), placed, "pole")
    tip = pin.Inertia(plant.mp, np.array([0.0, 0.0, plant.l]), np.zeros((3, 3)))
    model.appendBodyToJoint(pole, tip, pin.SE3.Identity())
    lock = np.array([problem.limit[0], 0.0])
    return multibody(model, problem, x0, np.r_[problem.r, problem.r], -lock, lock)


def multibody(model, problem, x0, r, low, high):
    """A shooting problem of crocoddyl's own C++ classes."""
    state = crocoddyl.StateMultibody(model)
    actuation = crocoddyl.ActuationModelFull(state)
    nu, goal = actuation.nu, np.asarray(problem.goal, float)

    def action(q, r):
        costs = crocoddyl.CostModelSum(state, nu)
        by_state = crocoddyl.ActivationModelWeightedQuad(2.0 * np.asarray(q, float))
        costs.addCost(
            "x", crocoddyl.CostModelResidual(state, by_state, crocoddyl.ResidualModelState(state, goal, nu)), 1.0
        )
        if r is not None:
            by_input = crocoddyl.ActivationModelWeightedQuad(2.0 * np.asarray(r, float))
            costs.addCost(
                "u", crocoddyl.CostModelResidual(state, by_input, crocoddyl.ResidualModelControl(state, nu)), 1.0
            )
        return crocoddyl.DifferentialActionModelFreeFwdDynamics(state, actuation, costs)

    return shooting(x0, action(problem.q, r), action(problem.qf, None), low, high, problem)


def shooting(x0, running, end, low, high, problem):
    stage = crocoddyl.IntegratedActionModelEuler(running, problem.dt)
    stage.u_lb, stage.u_ub = low, high
    found = crocoddyl.ShootingProblem(x0, [stage] * problem.T, crocoddyl.IntegratedActionModelEuler(end, 0.0))
    return found


def chain(m):
    """The pinocchio model of a MuJoCo model whose joints are hinges, one a body."""
    model = pin.Model()
    model.gravity.linear = np.array(m.opt.gravity)
    place = {0: (0, pin.SE3.Identity())}
    for body in range(1, m.nbody):
        parent, X = place[int(m.body_parentid[body])]
        X = X * pin.SE3(rotation(m.body_quat[body]), m.body_pos[body].copy())
        place[body] = parent, X
        if m.body_jntnum[body]:
            axis = m.jnt_axis[int(m.body_jntadr[body])]
            joint = pin.JointModelRZ() if np.allclose(axis, [0, 0, 1]) else pin.JointModelRevoluteUnaligned(axis.copy())
            place[body] = model.addJoint(parent, joint, X, f"joint{body}"), pin.SE3.Identity()
        joint, X = place[body]
        R = rotation(m.body_iquat[body])
        inertia = pin.Inertia(
            float(m.body_mass[body]), m.body_ipos[body].copy(), R @ np.diag(m.body_inertia[body]) @ R.T
        )
        if joint:
            model.appendBodyToJoint(joint, inertia, X)
    return model


def rotation(q):
    return pin.Quaternion(q[0], q[1], q[2], q[3]).matrix()


def solve(found, u, tolerance: float, iterations: int):
    """The solver after BoxFDDP from inputs u (T, nu), and its costs by iteration."""
    u = [row.copy() for row in np.c_[u, np.zeros((len(u), found.runningModels[0].nu - u.shape[1]))]]
    x = found.rollout(u)
    solver = crocoddyl.SolverBoxFDDP(found)
    solver.th_stop = tolerance
    log = crocoddyl.CallbackLogger()

    def once(listen: bool = False):
        solver.setCallbacks([log] if listen else [])
        solver.solve(x, u, iterations, True)
        return solver

    return once, log
