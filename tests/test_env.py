"""Tasks as Gymnasium environments: the checker is silent, seeds reproduce, a batch does what its copies do."""

import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from robotics import registry
from robotics.cost import quadratic
from robotics.env import TaskEnv, TaskVectorEnv, register
from robotics.evaluate import episode
from robotics.task import Task
from sims.errors import MissingDependency
from sims.ode import OdeSimulator
from sims.system import System, stack

PACKAGE = {"mujoco": "mujoco", "drake": "pydrake"}
CLOSED_FORM = [name for name in registry.names() if "ode" in registry.make(name).simulators]
ENGINES = ["mujoco", "drake"]


class Explode(System):
    """xdot = x^3 + u: infinite in finite time from x > 0."""

    nx, nu = 1, 1
    x_names, u_names = ("x",), ("u",)

    def f(self, x, u):
        return stack([x[..., 0] ** 3 + u[..., 0]])


def explode(**changes) -> Task:
    settings = {
        "name": "explode",
        "description": "",
        "simulators": {"ode": lambda dt: OdeSimulator(Explode(), dt=dt)},
        "controllers": {"zero": lambda task, sim: lambda x, t: np.zeros((*x.shape[:-1], 1))},
        "cost": quadratic([1.0], [0.0], x_goal=[0.0]),
        "dt": 0.1,
        "duration": 2.0,
        "start": lambda rng: np.array([rng.choice([0.0, 3.0])]),
        "success": lambda run: run.status == "ok",
        "x_goal": np.zeros(1),
        "u_min": -np.ones(1),
        "u_max": np.ones(1),
    }
    return Task(**{**settings, **changes})


def check(env: gymnasium.Env) -> list[str]:
    """The messages of Gymnasium's checker."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(env)
    return [str(w.message) for w in caught]


@pytest.mark.parametrize("name", CLOSED_FORM)
def test_check_env_is_silent(name):
    assert check(TaskEnv(name)) == []


@pytest.mark.parametrize("name", CLOSED_FORM)
def test_check_env_says_of_physical_actions_only_that_they_are_physical(name):
    assert all("normalized space" in message for message in check(TaskEnv(name, normalize_actions=False)))


@pytest.mark.parametrize("backend", ENGINES)
@pytest.mark.parametrize("name", ["cartpole", "quadrotor"])
def test_check_env_is_silent_in_the_engines(name, backend):
    pytest.importorskip(PACKAGE[backend], reason=f"{backend} is not installed")
    assert check(TaskEnv(name, backend=backend)) == []


def test_check_env_is_silent_with_pictures():
    pytest.importorskip("mujoco", reason="MuJoCo draws the pictures: pip install mujoco")
    from sims.viewer.offscreen import gl_context

    try:
        gl_context(64, 64).free()
    except MissingDependency as error:
        pytest.skip(str(error))
    env = TaskEnv("cartpole", render_mode="rgb_array")
    assert check(env) == []
    env = TaskEnv("cartpole", render_mode="rgb_array")
    pictures = [env.reset(seed=0), env.render()][1:]
    for _ in range(10):
        env.step(np.ones(1, np.float32))
    pictures.append(env.render())
    assert pictures[0].shape == (360, 480, 3) and pictures[0].dtype == np.uint8
    assert (pictures[0] != pictures[1]).any()
    env.close()


def test_gymnasium_makes_registered_tasks():
    register()
    register()
    env = gymnasium.make("swingup/pendulum-v0", hold=2)
    assert env.unwrapped.task.name == "pendulum" and env.unwrapped.hold == 2
    env.reset(seed=0)
    vector = gymnasium.make_vec("swingup/pendulum-v0", num_envs=3, vectorization_mode="vector_entry_point")
    assert vector.reset(seed=0)[0].shape == (3, 3)


def test_spec_makes_the_same_environment():
    env = TaskEnv("pendulum", hold=3, normalize_actions=False)
    again = env.spec.make().unwrapped
    assert again.hold == 3 and again.action_space == env.action_space


def test_reset_seed_starts_the_episode_of_that_seed():
    _, info = TaskEnv("pendulum").reset(seed=7)
    assert np.array_equal(info["x"], episode("pendulum", 7, controller="zero", duration=0.01).trajectory.x[0])


def test_the_next_episode_is_another_one():
    env, envs = TaskEnv("pendulum"), TaskVectorEnv("pendulum", 2)
    starts = [env.reset(seed=7)[1]["x"], env.reset()[1]["x"], env.reset()[1]["x"]]
    assert not np.array_equal(starts[0], starts[1]) and not np.array_equal(starts[1], starts[2])
    first, second = envs.reset(seed=7)[1]["x"], envs.reset()[1]["x"]
    assert np.array_equal(first[0], starts[0]) and np.array_equal(second[0], starts[1])
    assert not np.array_equal(first[0], first[1])


def test_reward_is_minus_the_cost_of_the_same_run():
    env = TaskEnv("pendulum", normalize_actions=False)
    env.reset(seed=3)
    rewards = [env.step(np.array([0.5], np.float32))[1] for _ in range(20)]
    task, sim = env.task, env.sim
    run = sim.rollout(episode("pendulum", 3, controller="zero", duration=0.01).trajectory.x[0], np.full((200, 1), 0.5))
    stage = task.cost.stage(run.x[:-1], run.u) * sim.dt
    assert np.allclose(rewards, -stage.reshape(20, task.hold).sum(axis=1), rtol=1e-12)


def test_actions_are_physical_clipped_or_normalized():
    ends = []
    for env, action in [
        (TaskEnv("pendulum", normalize_actions=False), 3.0),
        (TaskEnv("pendulum", normalize_actions=False), 50.0),
        (TaskEnv("pendulum"), 1.0),
    ]:
        env.reset(seed=0)
        ends.append(env.step(np.array([action], np.float32))[4]["x"])
    assert np.array_equal(ends[0], ends[1]) and np.array_equal(ends[0], ends[2])
    env = TaskEnv("quadrotor")  # limits 0 to 5 N: the middle is 2.5 N
    assert np.allclose(env._core.input(np.zeros(4, np.float32)), 2.5)


def test_time_limit_truncates_and_does_not_terminate():
    env = TaskEnv(explode())
    env.reset(options={"x0": [0.0]})
    flags = [env.step(np.zeros(1, np.float32))[2:4] for _ in range(20)]
    assert flags[:-1] == [(False, False)] * 19 and flags[-1] == (False, True)


def test_divergence_terminates_with_the_last_finite_state_and_no_gain():
    env = TaskEnv(explode())
    env.reset(options={"x0": [1e18]})  # one step of RK4 cubes it four times over
    obs, reward, terminated, truncated, info = env.step(np.zeros(1, np.float32))
    assert terminated and not truncated and np.isfinite(obs).all() and info["x"] == [1e18]
    assert reward == pytest.approx(-1e36 * 2.0)  # the stage cost for all of the 2 s that were left


def test_lost_states_terminate():
    env = TaskEnv(explode(lost=lambda x: x[..., 0] > 0.05))
    env.reset(options={"x0": [0.0]})
    flags = [env.step(np.ones(1, np.float32))[2] for _ in range(1)]
    assert flags == [True]


def test_step_before_reset_and_bad_settings_are_errors():
    with pytest.raises(gymnasium.error.ResetNeeded):
        TaskEnv("pendulum").step(np.zeros(1, np.float32))
    with pytest.raises(gymnasium.error.ResetNeeded):
        TaskVectorEnv("pendulum", 2).step(np.zeros((2, 1), np.float32))
    with pytest.raises(ValueError, match="hold"):
        TaskEnv("pendulum", hold=0)
    with pytest.raises(ValueError, match="render_mode"):
        TaskEnv("pendulum", render_mode="human")
    with pytest.raises(ValueError, match="finite"):
        TaskEnv(explode(u_max=np.array([np.inf])))


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_batch_does_what_gymnasium_does_with_copies(mode, rng):
    """Against SyncVectorEnv over TaskEnv: observations, rewards, flags, autoreset and final observations."""
    task = explode(duration=0.5)
    batch, copies = (
        TaskVectorEnv(task, 4, autoreset_mode=mode),
        SyncVectorEnv([lambda: TaskEnv(task)] * 4, autoreset_mode=mode),
    )
    assert batch.action_space == copies.action_space and batch.observation_space == copies.observation_space
    assert np.array_equal(batch.reset(seed=5)[0], copies.reset(seed=5)[0])
    seen = 0
    for _ in range(30):
        actions = rng.uniform(-1, 1, (4, 1)).astype(np.float32)
        got, want = batch.step(actions), copies.step(actions)
        for a, b in zip(got[:4], want[:4], strict=True):
            assert np.allclose(a, b, rtol=1e-6)
        final = want[4].get("final_obs")
        assert (final is None) == ("final_obs" not in got[4])
        if final is not None:
            assert np.array_equal(got[4]["_final_obs"], want[4]["_final_obs"])
            for i in np.flatnonzero(want[4]["_final_obs"]):
                assert np.allclose(got[4]["final_obs"][i], final[i], rtol=1e-6)
                seen += 1
    assert seen or mode is AutoresetMode.NEXT_STEP


@pytest.mark.parametrize("backend", ["ode", *ENGINES])
def test_batch_is_reproducible_in_every_engine(backend):
    if backend in PACKAGE:
        pytest.importorskip(PACKAGE[backend], reason=f"{backend} is not installed")
    runs = []
    for _ in range(2):
        env = TaskVectorEnv("cartpole", 3, backend=backend)
        out = [env.reset(seed=1)[0]]
        out += [env.step(np.full((3, 1), 10.0, np.float32))[0] for _ in range(5)]
        runs.append(np.stack(out))
    assert runs[0].tobytes() == runs[1].tobytes() and runs[0].dtype == np.float32


def test_vector_env_refuses_what_it_cannot_do():
    for arguments in ({"num_envs": 0}, {"num_envs": 2, "autoreset_mode": "Disabled"}):
        with pytest.raises(ValueError, match=r"num_envs|autoreset_mode"):
            TaskVectorEnv("pendulum", **arguments)
    with pytest.raises(ValueError, match="one seed"):
        TaskVectorEnv("pendulum", 2).reset(seed=[1, 2, 3])


@pytest.mark.parametrize("shape", [(), (2,), (1, 1), (3,), (2, 1), (3, 2)])
def test_actions_and_starts_of_another_shape_are_errors(shape):
    env, envs = TaskEnv("cartpole"), TaskVectorEnv("cartpole", 3)
    for each in (env, envs):
        each.reset(seed=0)
        with pytest.raises(ValueError, match="shape"):
            each.step(np.zeros(shape))
        with pytest.raises(ValueError, match="x0"):
            each.reset(options={"x0": np.zeros((3, 4))})
    with pytest.raises(ValueError, match="whole number"):
        TaskEnv("cartpole", hold=2.5)


def test_a_numpy_integer_is_a_seed():
    envs = TaskVectorEnv("pendulum", 2)
    np.testing.assert_array_equal(envs.reset(seed=np.int64(3))[0], envs.reset(seed=3)[0])
