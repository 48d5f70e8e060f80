"""Laws of MujocoSimulator over a list of small models and, once each, over every model of the suite."""

import numpy as np
import pytest

mujoco = pytest.importorskip("mujoco", reason="MuJoCo is not installed")

from mujoco_cases import ALL, ARM, CARTPOLE, SMOOTH, home, make, random_state, unconstrained  # noqa: E402

from sims import MujocoSimulator, simulate  # noqa: E402
from sims.build import build  # noqa: E402
from sims.models import MODELS  # noqa: E402


@pytest.mark.parametrize("name", [*ALL, *MODELS])
def test_step_is_pure_and_is_mj_step(name, rng):
    sim, other = make(name), make(name)
    x, u = random_state(sim, rng), rng.standard_normal(sim.nu)
    u = sim.saturate(u)
    first = sim.step(x, u)
    for _ in range(3):  # other states in between, at rest, fast and repeated, must leave no trace
        sim.step(random_state(sim, rng, 1.0), rng.standard_normal(sim.nu))
        sim.linearize(x, u)
        sim.body_poses(random_state(sim, rng))
        sim.contacts(random_state(sim, rng), u)
        assert sim.step(x, u).tobytes() == first.tobytes()
    assert other.step(x, u).tobytes() == first.tobytes()
    batch = np.stack([random_state(sim, rng), x, random_state(sim, rng)])
    assert sim.step(batch, u)[1].tobytes() == first.tobytes()
    assert sim.step(batch[:, None], np.stack([u, u + 1]))[1, 0].tobytes() == first.tobytes()

    data = mujoco.MjData(sim.model)
    data.qpos[:], data.qvel[:], data.act[:] = np.split(x, [sim.model.nq, sim.model.nq + sim.model.nv])
    data.ctrl[:] = u
    mujoco.mj_step(sim.model, data)
    assert np.array_equal(first, np.concatenate([data.qpos, data.qvel, data.act]))


@pytest.mark.parametrize("name", [*SMOOTH, *MODELS])
def test_rollout_and_closed_loop_are_repeated_steps_without_constraints(name, rng):
    sim = unconstrained(name)
    x0, u = random_state(sim, rng), 0.5 * rng.standard_normal((25, sim.nu))
    x = [x0]
    for k in range(25):
        x.append(sim.step(x[-1], u[k]))
    run = sim.rollout(x0, u)
    assert run.x.tobytes() == np.array(x).tobytes() and np.array_equal(run.u, sim.saturate(u))
    closed = simulate(sim, lambda x, t: u[round(t / sim.dt)], x0, 25 * sim.dt)
    assert closed.x.tobytes() == run.x.tobytes() and closed.u.tobytes() == run.u.tobytes()
    live = sim.session(x0)
    assert np.array([live.step(u_k) for u_k in u]).tobytes() == run.x[1:].tobytes()


@pytest.mark.parametrize("name", ["contact", "quadruped"])
def test_with_contact_the_warm_start_matters_no_more_than_the_solvers_tolerance(name, rng):
    sim = make(name)
    sim.model.opt.tolerance = 0.0  # iterate until nothing changes
    x0, u = random_state(sim, rng, 0.02), 0.3 * rng.standard_normal((50, sim.nu))
    x = x0
    for u_k in u:
        x = sim.step(x, u_k)
    run = sim.rollout(x0, u)
    closed = simulate(sim, lambda x, t: u[round(t / sim.dt)], x0, 50 * sim.dt)
    assert closed.x.tobytes() == run.x.tobytes()
    assert sim.contacts(run.x[-1], u[-1])
    np.testing.assert_allclose(run.x[-1], x, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["cartpole", "ball", "contact", "activation", "quadruped"])
def test_rollout_does_not_depend_on_threads_or_neighbours(name, rng):
    runs = []
    x0 = random_state(make(name), np.random.default_rng(1))
    u = rng.standard_normal((4, 3, 12, make(name).nu))
    for nthread in (1, 2, 3):
        sim = make(name, nthread=nthread)
        runs.append(sim.rollout(x0, u))
        assert runs[-1].x.shape == (4, 3, 13, sim.nx) and runs[-1].status == "ok"
        alone = sim.rollout(x0, u[2, 1])
        assert alone.x.tobytes() == runs[-1].x[2, 1].tobytes()
        sim.close()
    assert runs[0].x.tobytes() == runs[1].x.tobytes() == runs[2].x.tobytes()


def test_rollout_threads_restart_after_close_and_survive_a_fork(rng):
    import multiprocessing

    sim = make("cartpole", nthread=2)
    x0, u = random_state(sim, rng), rng.standard_normal((5, 8, 1))
    wanted = sim.rollout(x0, u).x
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert np.array_equal(pool.apply_async(_rollout_there, (x0, u)).get(timeout=60), wanted)
    sim.close()
    assert np.array_equal(sim.rollout(x0, u).x, wanted)


_SHARED = MujocoSimulator(CARTPOLE, nthread=2)
_SHARED.rollout(np.zeros(4), np.zeros((3, 2, 1)))  # its threads run in the parent only


def _rollout_there(x0, u):
    return _SHARED.rollout(x0, u).x


@pytest.mark.parametrize("name", [*ALL, *MODELS])
def test_difference_and_integrate_are_mujocos(name, rng):
    sim = make(name)
    m = sim.model
    x = np.stack([random_state(sim, rng, 1.0) for _ in range(6)]).reshape(2, 3, sim.nx)
    y = np.stack([random_state(sim, rng, 1.0) for _ in range(3)])
    dx = sim.difference(x, y)
    assert dx.shape == (2, 3, sim.ndx)
    again = sim.difference(x, sim.integrate(x, dx))
    np.testing.assert_allclose(again, dx, rtol=0, atol=1e-12)
    for i in np.ndindex(2, 3):
        dq, q = np.zeros(m.nv), x[i][: m.nq].copy()
        mujoco.mj_differentiatePos(m, dq, 1.0, q, y[i[1]][: m.nq].copy())
        np.testing.assert_allclose(dx[i][: m.nv], dq, rtol=0, atol=1e-12)
        mujoco.mj_integratePos(m, q, dq, 1.0)
        np.testing.assert_allclose(sim.integrate(x[i], dx[i])[: m.nq], q, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(dx[i][m.nv :], y[i[1]][m.nq :] - x[i][m.nq :])


@pytest.mark.parametrize("integrator", ["euler", "implicitfast", "implicit", "rk4", "discrete"])
@pytest.mark.parametrize("name", SMOOTH)
def test_linearize_is_the_derivative_of_step(name, integrator, rng):
    _compare_with_differences(make(name, integrator=integrator), rng)


@pytest.mark.parametrize("name", MODELS)
def test_linearize_is_the_derivative_of_step_for_the_suites_models(name, rng):
    _compare_with_differences(unconstrained(name), rng)


def _compare_with_differences(sim, rng):
    x = np.stack([random_state(sim, rng) for _ in range(2)])
    u = 0.1 * rng.standard_normal(sim.nu)
    A, B = sim.linearize(x, u)
    assert A.shape == (2, sim.ndx, sim.ndx) and B.shape == (2, sim.ndx, sim.nu)
    h = 1e-3  # Richardson: step errors h^2 cancel, so h can be large and rounding small
    for row in range(2):
        for got, J in zip((A[row], B[row]), np.split(_richardson(sim, x[row], u, h), [sim.ndx], axis=1), strict=True):
            np.testing.assert_allclose(got, J, rtol=0, atol=1e-6 * np.abs(J).max(initial=0.0))


def _richardson(sim, x, u, h):
    def column(z):
        ends = [
            sim.difference(sim.step(x, u), sim.step(sim.integrate(x, s * z[: sim.ndx]), u + s * z[sim.ndx :]))
            for s in (h, -h, 2 * h, -2 * h)
        ]
        return (8 * (ends[0] - ends[1]) - (ends[2] - ends[3])) / (12 * h)

    return np.stack([column(z) for z in np.eye(sim.ndx + sim.nu)], axis=1)


def test_linearize_at_an_input_limit_is_the_interior_derivative(rng):
    for integrator in ("euler", "rk4"):
        sim = make("pendulum", integrator=integrator)
        x = random_state(sim, rng)
        inside, at, beyond = (sim.linearize(x, [u])[1] for u in (0.0, 3.0, 5.0))
        np.testing.assert_allclose(at, inside, rtol=1e-8)
        np.testing.assert_allclose(beyond, inside, rtol=1e-8)
        assert np.array_equal(sim.step(x, [5.0]), sim.step(x, [3.0]))  # the clamp is back


@pytest.mark.parametrize("name", ["pendulum", "cartpole", "free", "ball"])
def test_energy_is_conserved_without_damping(name, rng):
    xml = ALL[name].replace('damping="0.1"', "").replace('damping="0.02"', "")
    sim = MujocoSimulator(xml, integrator="rk4", dt=1e-3)
    run = sim.rollout(random_state(sim, rng), np.zeros((1000, sim.nu)))
    sim.model.opt.enableflags |= int(mujoco.mjtEnableBit.mjENBL_ENERGY)
    data, energy = mujoco.MjData(sim.model), []
    for x in run.x[[0, 300, 1000]]:
        data.qpos[:], data.qvel[:], _ = np.split(x, [sim.model.nq, sim.model.nq + sim.model.nv])
        mujoco.mj_forward(sim.model, data)
        energy.append(data.energy.sum())
    assert np.ptp(energy) < 1e-8 * max(1.0, np.abs(energy).max())


@pytest.mark.parametrize("name", ["contact", "activation", "quadruped", "humanoid"])
def test_snapshot_is_exact_contacts_included(name, rng):
    sim = make(name)
    u = 0.3 * rng.standard_normal((30, sim.nu))
    session = sim.session(random_state(sim, rng, 0.02))
    for u_k in u:
        session.step(u_k)
    saved, t = session.snapshot(), session.t
    first = np.array([session.step(u_k) for u_k in u])
    session.restore(saved)
    assert session.t == t
    second = np.array([session.step(u_k) for u_k in u])
    elsewhere = sim.session(random_state(sim, rng))
    elsewhere.step(u[0])
    elsewhere.restore(saved)
    third = np.array([elsewhere.step(u_k) for u_k in u])
    assert first.tobytes() == second.tobytes() == third.tobytes()
    if name == "contact":
        assert session.data.ncon > 0
    with pytest.raises(ValueError, match="snapshot of this model has shape"):
        session.restore(saved[1:])


def test_terms_obey_the_equations_of_motion(rng):
    for name in SMOOTH:
        sim = unconstrained(name)
        x, u = random_state(sim, rng), sim.saturate(0.5 * rng.standard_normal(sim.nu))
        terms = sim.terms(x, u)
        data = mujoco.MjData(sim.model)
        data.qpos[:], data.qvel[:], data.act[:] = np.split(x, [sim.model.nq, sim.model.nq + sim.model.nv])
        mujoco.mj_forward(sim.model, data)
        np.testing.assert_allclose(terms.M, terms.M.T, atol=0)
        balance = terms.M @ terms.vdot + terms.bias - terms.tau - data.qfrc_passive
        np.testing.assert_allclose(balance, 0, atol=1e-10)
        at_rest = x.copy()
        at_rest[sim.model.nq : sim.model.nq + sim.model.nv] = 0
        np.testing.assert_allclose(sim.terms(at_rest, u).bias, -terms.gravity, atol=1e-12)
        potential = _potential_gradient(sim, x)
        np.testing.assert_allclose(terms.gravity, -potential, atol=1e-8)


def _potential_gradient(sim, x, h=1e-6):
    """d/dq of sum m g z, from the poses alone."""

    def potential(dq):
        dx = np.concatenate([dq, np.zeros(sim.ndx - sim.model.nv)])
        X_WB = sim.body_poses(sim.integrate(x, dx))
        com = X_WB[:, :3, 3] + np.einsum("bij,bj->bi", X_WB[:, :3, :3], sim.model.body_ipos[1:])
        return 9.81 * (sim.model.body_mass[1:] * com[:, 2]).sum()

    return np.array([(potential(h * e) - potential(-h * e)) / (2 * h) for e in np.eye(sim.model.nv)])


def test_gravity_vector_is_a_gradient_also_for_the_suites_robots(rng):
    for name in ("iiwa14", "quadruped", "humanoid", "quadrotor"):
        sim = make(name)
        x = random_state(sim, rng)
        gravity = sim.terms(x, np.zeros(sim.nu)).gravity
        np.testing.assert_allclose(gravity, -_potential_gradient(sim, x), atol=2e-6)


def test_resting_block_pushes_the_floor_with_its_weight():
    sim = make("contact")
    x0 = simulate(sim, lambda x, t: np.zeros(1), sim.session(home(sim)).x, 2.0).x[-1]
    contacts = sim.contacts(x0, np.zeros(1))
    assert {(c.body_a, c.body_b) for c in contacts} == {("world", "block")}
    np.testing.assert_allclose(sum(c.f_W for c in contacts), [0, 0, 2 * 9.81], atol=1e-3)
    for c in contacts:
        assert abs(c.p_W[2]) < 1e-3 and np.abs(c.p_W[:2]).max() < 0.11
    pushing = x0.copy()
    pushing[7] = 0.251  # the ram 1 mm inside the block
    force = sum(c.f_W for c in sim.contacts(pushing, [0.0]) if {c.body_a, c.body_b} == {"block", "ram"})
    a, b = next((c.body_a, c.body_b) for c in sim.contacts(pushing, [0.0]) if "ram" in (c.body_a, c.body_b))
    assert force[0] * (1 if b == "block" else -1) > 1.0, (a, b, force)


def test_names_and_limits():
    assert make("pendulum").x_names == ("shoulder", "shoulder_dot")
    sim = make("pendulum")
    assert sim.u_names == ("torque",) and sim.u_min.tolist() == [-2.0] and sim.u_max.tolist() == [3.0]
    free = make("free")
    assert free.x_names[:7] == ("base.x", "base.y", "base.z", "base.qw", "base.qx", "base.qy", "base.qz")
    assert free.x_names[7:] == ("base.vx", "base.vy", "base.vz", "base.wx", "base.wy", "base.wz")
    assert free.u_max.tolist() == [np.inf] and free.body_names == ("drone",)
    assert make("ball").x_names[:5] == ("ball.qw", "ball.qx", "ball.qy", "ball.qz", "elbow")
    assert make("activation").x_names == ("j", "j_dot", "lag.act", "integrated.act")
    for name in [*ALL, *MODELS]:
        sim = make(name)
        assert len(set(sim.x_names)) == len(sim.x_names) == sim.nx == sim.model.nq + sim.model.nv + sim.model.na
        assert len(set(sim.u_names)) == sim.nu and sim.ndx == 2 * sim.model.nv + sim.model.na


def test_policy_gets_a_copy_and_may_use_the_same_simulator(rng):
    sim = make("cartpole")
    x0 = random_state(sim, rng)

    def nested(x, t):
        x_next = simulate(sim, lambda x, t: [0.1], x, 2 * sim.dt).x[-1]
        sim.step(x, [2.0])
        x[:] = np.nan
        return x_next[:1]

    def plain(x, t):
        return sim.rollout(x, np.full((2, 1), 0.1)).x[-1, :1]

    assert simulate(sim, nested, x0, 0.02).x.tobytes() == simulate(sim, plain, x0, 0.02).x.tobytes()


def test_batched_closed_loop_is_the_single_one(rng):
    sim = make("ball")
    x0 = np.stack([random_state(sim, rng) for _ in range(3)])
    batched = simulate(sim, lambda x, t: -x[..., 4:5], x0, 0.02)
    assert batched.x.shape == (3, 11, sim.nx)
    for row in range(3):
        assert simulate(sim, lambda x, t: -x[..., 4:5], x0[row], 0.02).x.tobytes() == batched.x[row].tobytes()


@pytest.mark.parametrize("name", [*ALL, *MODELS])
def test_description_rebuilds_the_same_simulator(name, rng):
    import json

    for sim in (make(name), make(name, dt=5e-4, integrator="implicitfast", contact=False, limits=False)):
        description = json.loads(json.dumps(sim.describe()))
        again = build(description)
        assert again.describe() == description and again.x_names == sim.x_names
        x, u = random_state(sim, rng), 0.1 * rng.standard_normal(sim.nu)
        assert sim.step(x, u).tobytes() == again.step(x, u).tobytes()


def test_models_are_copied_and_edits_are_described(rng):
    spec = mujoco.MjSpec.from_string(ARM)
    spec.body("two").pos = [0.012345678901234, 0, 0.3]  # more digits than MuJoCo's XML writer keeps
    model = spec.compile()
    flags, dt = model.opt.disableflags, model.opt.timestep
    sims = [MujocoSimulator(spec, dt=1e-3, contact=False), MujocoSimulator(model, dt=1e-3, contact=False)]
    assert model.opt.disableflags == flags and model.opt.timestep == dt
    edited = make("arm", dt=1e-3, contact=False)
    edited.model.body_mass[2] = 2.5
    edited.model.body_pos[2] = model.body_pos[2]
    mujoco.mj_setConst(edited.model, mujoco.MjData(edited.model))
    for sim in [*sims, edited]:
        x, u = random_state(sim, rng), rng.standard_normal(3)
        again = build(sim.describe())
        assert again.step(x, u).tobytes() == sim.step(x, u).tobytes()
    assert MujocoSimulator(model).dt == dt
    assert not np.array_equal(edited.step(x, u), sims[1].step(x, u))
