"""Laws that every closed-form plant obeys, as floats and in batches; each equation against an independent oracle."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from plant_cases import (
    CASES,
    IDS,
    MANIPULATOR_CASES,
    MANIPULATOR_IDS,
    MANIPULATORS,
    NAMES,
    jacobian,
    make,
    slope,
    states,
    undamped,
)

from sims import lie, manipulator, plants
from sims.ode import integrate_events

every_plant = pytest.mark.parametrize(("name", "variant"), CASES, ids=IDS)
every_manipulator = pytest.mark.parametrize(("name", "variant"), MANIPULATOR_CASES, ids=MANIPULATOR_IDS)


@every_plant
def test_shapes_names_and_limits(name, variant):
    plant = make(name, variant)
    assert len(plant.x_names) == len(set(plant.x_names)) == plant.nx
    assert len(plant.u_names) == len(set(plant.u_names)) == plant.nu
    assert plant.u_min.shape == plant.u_max.shape == (plant.nu,)
    assert (plant.u_min < plant.u_max).all()
    assert plant.nq + plant.nv in (0, plant.nx)
    again = type(plant)(**json.loads(json.dumps(vars(plant))))
    assert again == plant  # the parameters are all there is, and they survive JSON


@every_plant
@pytest.mark.parametrize("shape", [(1,), (7,), (2, 3), (0,)])
def test_a_batch_is_its_rows(rng, name, variant, shape):
    plant = make(name, variant)
    x, u = states(plant, rng, *shape)
    whole = plant.f(x, u)
    assert whole.shape == x.shape
    assert whole.dtype == float
    held = plant.f(x, np.full(plant.nu, 0.3))  # one input for all
    for index in np.ndindex(shape):
        np.testing.assert_allclose(whole[index], plant.f(x[index], u[index]), rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(held[index], plant.f(x[index], np.full(plant.nu, 0.3)), rtol=1e-12, atol=1e-13)
    if plant.nv:
        np.testing.assert_allclose(
            plant.acceleration(x, u, 0.01),
            np.array([plant.acceleration(x[i], u[i], 0.01) for i in np.ndindex(shape)]).reshape(*shape, plant.nv),
            rtol=1e-12,
            atol=1e-13,
        )


@every_plant
def test_f_is_pure_and_does_not_care_for_memory_order(rng, name, variant):
    plant = make(name, variant)
    x, u = states(plant, rng, 9)
    kept = x.copy(), u.copy()
    whole = plant.f(x, u)
    np.testing.assert_array_equal((x, u)[0], kept[0])
    np.testing.assert_array_equal((x, u)[1], kept[1])
    np.testing.assert_allclose(plant.f(np.asfortranarray(x), np.asfortranarray(u)), whole, rtol=1e-13, atol=1e-13)


@every_manipulator
def test_f_solves_the_manipulator_equations(rng, name, variant):
    plant = make(name, variant)
    x, u = states(plant, rng, 50)
    vdot = plant.f(x, u)[..., plant.nq :]
    scale = np.abs(vdot).max()
    np.testing.assert_allclose(manipulator.acceleration(plant, x, u), vdot, rtol=1e-12, atol=1e-12 * scale)
    if plant.nq == plant.nv:
        np.testing.assert_array_equal(plant.f(x, u)[..., : plant.nq], x[..., plant.nq :])


@every_manipulator
@pytest.mark.parametrize("dt", [0.0, 1e-3, 0.1])
def test_damping_is_implicit_in_a_semi_implicit_step(rng, name, variant, dt):
    """(M + dt D) vdot = M f_v, solved here with NumPy."""
    plant = make(name, variant)
    for x, u in zip(*states(plant, rng, 10), strict=True):
        M = plant.M(x[: plant.nq])
        wanted = np.linalg.solve(M + dt * np.diag(plant.damping), M @ plant.f(x, u)[plant.nq :])
        np.testing.assert_allclose(plant.acceleration(x, u, dt), wanted, rtol=1e-10, atol=1e-11)


@every_manipulator
def test_mass_matrix_is_symmetric_positive_definite(rng, name, variant):
    plant = make(name, variant)
    q = states(plant, rng, 50)[0][..., : plant.nq]
    M = np.broadcast_to(plant.M(q), (50, plant.nv, plant.nv))
    np.testing.assert_array_equal(M, np.swapaxes(M, -1, -2))
    assert (np.linalg.eigvalsh(M) > 0).all()


@every_manipulator
def test_Mdot_minus_2C_is_skew(rng, name, variant):
    plant = make(name, variant)
    for x in states(plant, rng, 10)[0]:
        q, v = x[: plant.nq], x[plant.nq :]
        qdot = plant.f(x, np.zeros(plant.nu))[: plant.nq]
        N = slope(lambda s, q=q, qdot=qdot: plant.M(q + s * qdot)) - 2 * plant.C(q, v)
        np.testing.assert_allclose(N + N.T, 0.0, atol=1e-9 * max(1.0, np.abs(N).max()))


@pytest.mark.parametrize("variant", ["default", "odd"])
@pytest.mark.parametrize("name", [n for n in MANIPULATORS if n != "quadrotor"])
def test_coriolis_and_gravity_are_those_of_lagrange(rng, name, variant):
    """C v = Mdot v - 1/2 d(v' M v)/dq and tau_g = -dU/dq, by finite differences."""
    plant = make(name, variant)
    for x in states(plant, rng, 10)[0]:
        q, v = x[: plant.nq], x[plant.nq :]
        Mdot = slope(lambda s, q=q, v=v: plant.M(q + s * v))
        gradient = jacobian(lambda p, v=v: np.array([v @ plant.M(p) @ v / 2]), q)[0]
        np.testing.assert_allclose(plant.C(q, v) @ v, Mdot @ v - gradient, rtol=1e-9, atol=1e-9)
        dU = jacobian(lambda p: np.array([plant.potential(p)]), q)[0]
        np.testing.assert_allclose(plant.tau_g(q), -dU, rtol=1e-9, atol=1e-9)


def bodies(plant, q):
    """[(mass, inertia, centre of mass (2,), angle)] in the vertical plane, by forward kinematics."""

    def below(angle, length):
        return length * np.array([np.sin(angle), -np.cos(angle)])

    match type(plant).__name__:
        case "DoubleIntegrator":
            return [(plant.m, 0.0, np.array([q[0], 0.0]), 0.0)]
        case "Pendulum":
            return [(plant.m, 0.0, below(q[0], plant.l), q[0])]
        case "CartPole" | "NPole":
            at, found = np.array([q[0], 0.0]), [(plant.mc, 0.0, np.array([q[0], 0.0]), 0.0)]
            n = len(q) - 1
            masses, lengths = np.broadcast_to(plant.mp, n), np.broadcast_to(plant.l, n)
            for i in range(n):
                at = at + below(q[1 : i + 2].sum(), lengths[i])
                found.append((masses[i], 0.0, at, 0.0))
            return found
        case "Acrobot" | "Pendubot" | "DoublePendulum":
            elbow = below(q[0], plant.l1)
            return [
                (plant.m1, plant.Ic1, below(q[0], plant.lc1), q[0]),
                (plant.m2, plant.Ic2, elbow + below(q[0] + q[1], plant.lc2), q[0] + q[1]),
            ]
        case "PlanarQuadrotor":
            return [(plant.m, plant.I, q[:2], q[2])]
        case "Ballbot":
            bot = np.array([q[0] + plant.l * np.sin(q[1]), plant.l * np.cos(q[1])])
            return [
                (plant.m_ball, plant.I_ball, np.array([q[0], 0.0]), q[0] / plant.r),
                (plant.m_bot, plant.I_bot, bot, q[1]),
            ]


@pytest.mark.parametrize("variant", ["default", "odd"])
@pytest.mark.parametrize("name", [n for n in MANIPULATORS if not n.startswith("quadrotor")])
def test_energies_are_those_of_the_moving_bodies(rng, name, variant):
    """Sum of m |pdot|^2 / 2 + I angledot^2 / 2 and of m g height, from forward kinematics differentiated in time."""
    plant = make(name, variant)
    g = vars(plant).get("g", 0.0)
    for x in states(plant, rng, 10)[0]:
        q, v = x[: plant.nq], x[plant.nq :]
        kinetic = potential = 0.0
        for i, (m, inertia, p, _) in enumerate(bodies(plant, q)):
            pdot = slope(lambda s, q=q, v=v, i=i: bodies(plant, q + s * v)[i][2])
            rate = slope(lambda s, q=q, v=v, i=i: bodies(plant, q + s * v)[i][3])
            kinetic += m * pdot @ pdot / 2 + inertia * rate**2 / 2
            potential += m * g * p[1]
        np.testing.assert_allclose(v @ plant.M(q) @ v / 2, kinetic, rtol=1e-10)
        np.testing.assert_allclose(plant.potential(q), potential, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(plant.energy(x), kinetic + potential, rtol=1e-10)


@every_manipulator
def test_energy_is_conserved_without_damping_and_input(rng, name, variant):
    plant = undamped(make(name, variant))
    x0 = states(plant, rng)[0]
    if name == "quadrotor_rpy":
        x0[9:] *= 0.2  # stays away from its singularity
    run, _ = integrate_events(plant, x0, lambda t, x: np.zeros(plant.nu), 3.0, n_out=31, rtol=1e-12, atol=1e-13)
    assert run.status == "ok"
    energy = plant.energy(run.x)
    scale = max(1.0, np.abs(plant.energy(run.x) - plant.potential(run.x[..., : plant.nq])).max())
    assert np.abs(energy - energy[0]).max() < 1e-8 * scale


@every_manipulator
def test_the_input_and_the_damping_change_the_energy_by_their_power(rng, name, variant):
    """Edot = v' (B u - D v), along f, by finite differences."""
    plant = make(name, variant)
    for x, u in zip(*states(plant, rng, 10), strict=True):
        xdot, v = plant.f(x, u), x[plant.nq :]
        Edot = slope(lambda s, x=x, xdot=xdot: plant.energy(x + s * xdot))
        power = v @ (plant.B(x[: plant.nq]) @ u - plant.damping * v)
        np.testing.assert_allclose(Edot, power, rtol=1e-8, atol=1e-8 * max(1.0, np.abs(xdot).max()))


# The same physics twice


def test_a_chain_of_one_pole_is_the_cartpole(rng):
    cartpole = make("cartpole", "odd")
    one = plants.NPole(1, **{k: v for k, v in vars(cartpole).items()})
    x, u = states(cartpole, rng, 30)
    np.testing.assert_allclose(one.f(x, u), cartpole.f(x, u), rtol=1e-12, atol=1e-12)
    assert one.x_names == cartpole.x_names
    for term in ("M", "tau_g", "B", "potential"):
        np.testing.assert_allclose(getattr(one, term)(x[..., :2]), getattr(cartpole, term)(x[..., :2]), atol=1e-14)


def test_a_chain_on_an_immovable_cart_is_the_double_pendulum(rng):
    chain = plants.NPole(2, mc=1e12, mp=(1.3, 0.6), l=(0.8, 0.7), b_pole=(0.2, 0.1))
    double = plants.DoublePendulum(
        m1=1.3, m2=0.6, l1=0.8, lc1=0.8, lc2=0.7, Ic1=0.0, Ic2=0.0, b1=0.2, b2=0.1
    )  # point masses
    x, _ = states(double, rng, 30)
    on_cart = np.zeros((30, 6))
    on_cart[:, [1, 2, 4, 5]] = x
    found = chain.f(on_cart, np.zeros(1))[:, [1, 2, 4, 5]]
    np.testing.assert_allclose(found, double.f(x, np.zeros(2)), rtol=1e-8, atol=1e-8)


def test_acrobot_and_pendubot_are_double_pendulums_with_one_motor(rng):
    acrobot = make("acrobot", "odd")
    shared = {k: v for k, v in vars(acrobot).items()}
    double, pendubot = plants.DoublePendulum(**shared), plants.Pendubot(**shared)
    x, u = states(acrobot, rng, 30)
    np.testing.assert_array_equal(acrobot.f(x, u), double.f(x, np.concatenate([0 * u, u], axis=-1)))
    np.testing.assert_array_equal(pendubot.f(x, u), double.f(x, np.concatenate([u, 0 * u], axis=-1)))


def test_both_quadrotors_fly_alike(rng):
    """The 12-state plant mapped into the 13 states: omega = E rpydot by differentiating the attitude."""
    rpy, quat = make("quadrotor_rpy", "odd"), make("quadrotor", "odd")

    def to_quat(x):
        q = lie.quat_from_rpy(x[3:6])
        step = slope(
            lambda s: lie.quat_log(lie.quat_multiply(lie.quat_conjugate(q), lie.quat_from_rpy(x[3:6] + s * x[9:])))
        )
        return np.concatenate([x[:3], q, x[6:9], step])

    for x, u in zip(*states(rpy, rng, 10), strict=True):
        xdot = slope(lambda s, x=x, u=u: to_quat(x + s * rpy.f(x, u)))
        np.testing.assert_allclose(quat.f(to_quat(x), u), xdot, rtol=1e-7, atol=1e-7)
        np.testing.assert_allclose(quat.energy(to_quat(x)), rpy.energy(x), rtol=1e-9)


def test_the_planar_quadrotor_is_a_slice_of_the_quadrotor(rng):
    """The 3-D plant turned about -y in the x-z plane, thrust on the +x and -x rotors only."""
    planar = make("planar_quadrotor", "odd")
    full = plants.Quadrotor(m=planar.m, I=(planar.I,) * 3, L=planar.r, kM=0.0)
    for x, u in zip(*states(planar, rng, 10), strict=True):
        attitude = lie.quat_exp(np.array([0.0, -x[2], 0.0]))
        lifted = np.array([x[0], 0, x[1], *attitude, x[3], 0, x[4], 0, -x[5], 0])
        xdot = full.f(lifted, np.array([u[0], 0.0, u[1], 0.0]))
        np.testing.assert_allclose([*xdot[[7, 9]], -xdot[11]], planar.f(x, u)[3:], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(xdot[[8, 10, 12]], 0.0, atol=1e-12)


def test_quadrotor_attitude_follows_the_body_rate_and_hovers(rng):
    plant = make("quadrotor", "odd")
    x, u = states(plant, rng)
    rate = lie.quat_difference(x[3:7], x[3:7] + 1e-6 * plant.f(x, u)[3:7]) / 1e-6
    np.testing.assert_allclose(rate, x[10:], rtol=1e-5, atol=1e-5)
    rest = np.array([0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0], float)
    np.testing.assert_allclose(plant.f(rest, plant.hover), 0.0, atol=1e-13)
    np.testing.assert_allclose(
        plant.f(2 * x, u)[7:10], plant.f(np.r_[2 * x[:3], x[3:7], 2 * x[7:]], u)[7:10], rtol=1e-12
    )


@pytest.mark.parametrize("name", ["quadrotor_rpy", "planar_quadrotor"])
def test_hover_holds_still(name):
    plant = make(name, "odd")
    np.testing.assert_allclose(plant.f(np.zeros(plant.nx), plant.hover), 0.0, atol=1e-13)


def test_quadrotor_difference_and_integrate_are_inverse(rng):
    plant = plants.Quadrotor()
    x, y = states(plant, rng, 6)[0], states(plant, rng, 6)[0]
    dx = plant.difference(x, y)
    assert dx.shape == (6, plant.ndx)
    back = plant.integrate(x, dx)
    back[..., 3:7] *= np.sign((back[..., 3:7] * y[..., 3:7]).sum(-1, keepdims=True))
    np.testing.assert_allclose(back, y, atol=1e-14)
    np.testing.assert_allclose(plant.difference(x[0], y), [plant.difference(x[0], row) for row in y], atol=1e-15)
    np.testing.assert_allclose(np.linalg.norm(plant.normalize(1.3 * x)[..., 3:7], axis=-1), 1.0, atol=1e-15)


# Closed forms and other engines


def test_dubins_car_drives_circles():
    car = plants.DubinsCar(speed=2.0)
    run, _ = integrate_events(car, [1.0, -2.0, 0.3], lambda t, x: [0.5], 4.0, n_out=9, rtol=1e-12)
    heading = 0.3 + 0.5 * run.t
    circle = np.stack([1 + 4 * (np.sin(heading) - np.sin(0.3)), -2 - 4 * (np.cos(heading) - np.cos(0.3)), heading], -1)
    np.testing.assert_allclose(run.x, circle, atol=1e-9)


def test_glider_plates_push_along_their_normals(rng):
    """Newton and Euler in space, R = Ry(pitch): each plate's force from its own velocity, the moment from its arm."""
    p = make("glider", "odd")
    for x, u in zip(*states(p, rng, 10), strict=True):
        body, tail = lie.so3_exp([0.0, x[2], 0.0]), lie.so3_exp([0.0, x[2] + x[3], 0.0])
        v, omega, omega_tail = np.array([x[4], 0, x[5]]), np.array([0, x[6], 0]), np.array([0, x[6] + u[0], 0])
        hinge = body @ [-p.lh, 0, 0]
        arms = [body @ [-p.lw, 0, 0], hinge + tail @ [-p.le, 0, 0]]
        speeds = [v + np.cross(omega, arms[0]), v + np.cross(omega, hinge) + np.cross(omega_tail, arms[1] - hinge)]
        forces = [
            -p.rho * area * np.linalg.norm(speed) * (R[:, 2] @ speed) * R[:, 2]
            for area, speed, R in zip((p.Sw, p.Se), speeds, (body, tail), strict=True)
        ]
        linear = sum(forces) / p.m - [0, 0, p.g]
        moment = sum(np.cross(arm, force) for arm, force in zip(arms, forces, strict=True))
        wanted = [x[4], x[5], x[6], u[0], linear[0], linear[2], moment[1] / p.I]
        np.testing.assert_allclose(p.f(x, u), wanted, rtol=1e-10, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "drakes"), [("pendulum", "pendulum"), ("acrobot", "acrobot"), ("quadrotor_rpy", "quadrotor")]
)
def test_drakes_examples_agree(rng, name, drakes):
    module = pytest.importorskip("pydrake.examples", reason="Drake is not installed")
    system = {"pendulum": "PendulumPlant", "acrobot": "AcrobotPlant", "quadrotor": "QuadrotorPlant"}[drakes]
    drake, plant = getattr(module, system)(), make(name)
    context = drake.CreateDefaultContext()
    for x, u in zip(*states(plant, rng, 20), strict=True):
        context.SetContinuousState(x)
        drake.get_input_port(0).FixValue(context, u)
        wanted = drake.EvalTimeDerivatives(context).CopyToVector()
        np.testing.assert_allclose(plant.f(x, u), wanted, rtol=1e-11, atol=1e-11)


# The door


def test_plants_are_found_by_name():
    assert plants.load("cartpole") is plants.CartPole is plants.load("CartPole")
    assert [plants.load(name).__name__ for name in NAMES] == [plants.PLANTS[name].split(":")[1] for name in NAMES]
    with pytest.raises(ValueError, match=r"unknown plant 'cartpol'. Did you mean 'cartpole'\? Available: acrobot"):
        plants.load("cartpol")
    with pytest.raises(AttributeError, match="has no attribute 'Cartpole'; it has: Acrobot"):
        plants.Cartpole  # noqa: B018


def test_plants_need_nothing_but_numpy():
    code = (
        "import sims.plants as p, sys; [p.load(n)() for n in p.PLANTS]; import sims.linearize, sims.lie, sims.scalar;"
    )
    code += "print(*{m.split('.')[0] for m in sys.modules} & {'scipy', 'casadi', 'pydrake', 'mujoco', 'matplotlib'})"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == ""


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: plants.NPole(0), "n must be a number of poles, 1 or more, got 0"),
        (lambda: plants.NPole(3, l=(1.0, 2.0)), r"l must be a number or n = 3 numbers, got \(1.0, 2.0\)"),
        (lambda: plants.Quadrotor(I=(1.0, 1.0, 3.0)), "none above the sum of the two others"),
        (lambda: plants.QuadrotorRPY(I=(1.0, 1.0)), "three positive principal inertias"),
    ],
)
def test_impossible_parameters_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_limits_come_from_the_fields():
    np.testing.assert_array_equal(plants.CartPole(force_limit=3.0).u_min, [-3.0])
    np.testing.assert_array_equal(plants.DoublePendulum(torque_limit=2.0).u_max, [2.0, 2.0])
    np.testing.assert_array_equal(replace(plants.Quadrotor(), thrust_min=0.0, thrust_max=5.0).u_min, np.zeros(4))
