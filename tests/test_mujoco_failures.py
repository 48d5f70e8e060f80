"""What MujocoSimulator does with bad inputs, bad values and physics that blow up: it says so, and names the place."""

import numpy as np
import pytest

mujoco = pytest.importorskip("mujoco", reason="MuJoCo is not installed")

from mujoco_cases import UNSTABLE, make, random_state  # noqa: E402

from sims import MujocoSimulator, SimulationDiverged, simulate  # noqa: E402
from sims.build import build  # noqa: E402
from sims.mujoco_model import load_model  # noqa: E402
from sims.trajectory import Failure  # noqa: E402


def test_input_limits_saturate_and_are_recorded(rng):
    sim = make("pendulum")
    x = random_state(sim, rng)
    run = simulate(sim, lambda x, t: [1e12], x, 3 * sim.dt)
    assert run.status == "ok" and (run.u == 3.0).all()
    assert run.x.tobytes() == sim.rollout(x, np.full((3, 1), 3.0)).x.tobytes()
    seen = []
    simulate(sim, lambda x, t: [-9.0], x, 2 * sim.dt, monitor=lambda t, x, u: seen.append((t, x.copy(), u.copy())))
    assert [t for t, _, _ in seen] == [0.0, sim.dt] and all(u == -2.0 for _, _, u in seen)
    np.testing.assert_array_equal(seen[0][1], x)


@pytest.mark.parametrize("how", ["simulate", "rollout", "batched rollout", "session", "batched simulate"])
def test_divergence_names_the_joint_and_replays(how, tmp_path):
    sim = MujocoSimulator(UNSTABLE)
    x0, T = np.array([0.1, 0.0]), 400
    if how == "simulate":
        run = simulate(sim, lambda x, t: np.zeros(1), x0, T * sim.dt)
        assert np.isfinite(run.x).all() and len(run) == run.failure.step < T
    elif how == "batched simulate":
        run = simulate(sim, lambda x, t: np.zeros((2, 1)), np.stack([x0, x0]), T * sim.dt)
    elif how == "rollout":
        run = sim.rollout(x0, np.zeros((T, 1)))
        bad = ~np.isfinite(run.x).all(axis=1)
        assert bad[-1] and bad.argmax() == run.failure.step + 1 and bad[bad.argmax() :].all()
    elif how == "batched rollout":
        run = sim.rollout(np.stack([[-40.0, 0.0], x0]), np.zeros((T, 1)))
    else:
        session = sim.session(x0)
        with pytest.raises(SimulationDiverged) as caught:
            for _ in range(T):
                session.step([0.0])
        assert np.array_equal(session.x, caught.value.failure.x)  # it stands before the bad step
        failure = caught.value.failure
    if how != "session":
        assert run.status == "diverged" and "shoulder" in run.message
        failure = run.failure
    assert failure.where.startswith("shoulder") and np.isfinite(failure.x).all()
    loaded = Failure.load(failure.save(tmp_path / "failure.json"))
    with pytest.raises(SimulationDiverged) as replay:
        build(loaded.simulator).step(loaded.x, loaded.u)
    assert replay.value.failure.where.split(" ")[0] == failure.where.split(" ")[0]


def test_rollout_survives_warnings_that_a_step_survives():
    """mujoco.rollout repeats a row from its first warning on; a huge but harmless acceleration is one."""
    sim = make("pendulum", limits=False)
    sim.model.actuator_ctrlrange[:] = [-1e9, 1e9]
    sim = MujocoSimulator(sim.model)
    u = np.zeros((3, 40, 1))
    u[1, 10] = 5e8
    u[1, 11] = -5e8
    run = sim.rollout(np.zeros(2), u)
    x = [np.zeros(2)]
    for u_k in u[1]:
        x.append(sim.step(x[-1], u_k))
    assert run.status == "ok" and run.x[1].tobytes() == np.array(x).tobytes()
    assert (np.diff(run.x[1, 12:, 0]) != 0).all()


def test_bad_inputs_of_a_policy_stop_the_run_and_name_the_input(rng):
    sim = make("arm")
    x0 = random_state(sim, rng)
    for bad in (np.nan, np.inf, 1e11):  # MuJoCo would apply zero and go on
        run = simulate(sim, lambda x, t, bad=bad: [0.0, bad if t > 0.01 else 0.1, 0.0], x0, 0.1)
        assert run.status == "diverged" and run.failure.where == "m2" and len(run) == 6, run.message
        assert np.isfinite(run.x).all() and np.isfinite(run.u).all()
    run = simulate(sim, lambda x, t: [0.0, 0.0, np.inf], x0, 0.1)  # a limited input saturates
    assert run.status == "ok" and (run.u[:, 2] == 1.0).all()


def test_wrong_values_and_shapes_are_named(rng):
    sim = make("free")
    x, u = random_state(sim, rng), np.zeros(1)
    bad = x.copy()
    bad[8] = np.nan
    cases = [
        (lambda: sim.step(bad, u), "base.vy"),
        (lambda: sim.step(x[:-1], u), r"shape \(\.\.\., 13\)"),
        (lambda: sim.step(x, [np.nan]), "thrust"),
        (lambda: sim.step(x, [1e11]), "thrust.*ctrlrange"),
        (lambda: sim.rollout(x, np.zeros((4, 2))), r"shape \(\.\.\., 1\)"),
        (lambda: sim.rollout(x, np.zeros(1)), r"\.\.\., T, 1"),
        (lambda: sim.step(np.zeros(13), u), "base.qw.*1, 0, 0, 0"),
        (lambda: sim.session(np.stack([x, x])), "one state"),
        (lambda: sim.contacts(x, np.zeros((2, 1))), "one input"),
        (lambda: sim.session(x).step([np.inf]), "thrust"),
        (lambda: simulate(sim, lambda x, t: np.zeros(3), x, 0.1), "policy must return"),
        (lambda: simulate(sim, lambda x, t: u, x, -1.0), "duration"),
        (lambda: make("free", integrator="rk5"), "integrator 'rk5'.*implicitfast"),
        (lambda: make("free", dt=0.0), "dt"),
        (lambda: make("free", nthread=-1), "nthread"),
    ]
    for call, words in cases:
        with pytest.raises(ValueError, match=words):
            call()


def test_a_simulator_is_freed_at_once():
    import weakref

    sim = make("cartpole", nthread=2)
    sim.rollout(np.zeros(4), np.zeros((3, 2, 1)))
    simulate(sim, lambda x, t: [0.0], np.zeros(4), 0.01)
    gone = weakref.ref(sim)
    del sim
    assert gone() is None


def test_nothing_resets_silently():
    model = load_model(UNSTABLE)
    assert model.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_AUTORESET
    data = mujoco.MjData(model)
    data.qpos[0] = np.nan
    mujoco.mj_step(model, data)
    assert np.isnan(data.qpos[0]) and data.time > 0


def test_no_log_file_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sim = MujocoSimulator(UNSTABLE)
    sim.rollout(np.array([0.1, 0.0]), np.zeros((8, 300, 1)))
    simulate(sim, lambda x, t: np.zeros(1), np.array([0.1, 0.0]), 0.5)
    assert list(tmp_path.iterdir()) == []
