"""Checkpoints: what is loaded is what was saved, or there is one error that says why not; data in batches."""

import numpy as np
import pytest

import dl
from dl import data, files, state


@pytest.fixture
def arrays(rng):
    return {
        "w": rng.normal(size=(3, 4)).astype(np.float32),
        "b": rng.normal(size=()),
        "n": np.array([1, 2, 3]),
        "mask": np.array([True, False]),
        "none": np.empty((0, 5)),
    }


def test_what_is_loaded_is_what_was_saved(tmp_path, arrays):
    path = tmp_path / "a.safetensors"
    state.save(path, arrays | {"t": dl.tensor(arrays["w"].T)}, {"step": 7, "names": ["x", "u"]})
    found, metadata = state.load(path)
    assert metadata == {"step": 7, "names": ["x", "u"]}
    for name, a in (arrays | {"t": arrays["w"].T}).items():
        assert found[name].dtype == a.dtype and found[name].shape == a.shape
        np.testing.assert_array_equal(found[name], a)
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_a_failed_save_leaves_the_old_file(tmp_path, arrays, monkeypatch):
    path = tmp_path / "a.safetensors"
    state.save(path, arrays)
    before = path.read_bytes()
    with pytest.raises(TypeError, match="'bad' has dtype object"):
        state.save(path, {"bad": np.array([object()])})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        state.save(path, {"w": np.zeros(3)})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_broken_files_are_refused(tmp_path, arrays):
    path = tmp_path / "a.safetensors"
    state.save(path, arrays)
    good = path.read_bytes()
    for keep in (0, 5, 100, len(good) - 1):
        path.write_bytes(good[:keep])
        with pytest.raises(state.CheckpointError, match="not a complete safetensors file"):
            state.load(path)
    path.write_bytes(good[:-3] + bytes([good[-3] ^ 1]) + good[-2:])
    with pytest.raises(state.CheckpointError, match="was changed after it was saved"):
        state.load(path)
    from safetensors.numpy import save_file

    save_file({"w": np.zeros(3)}, path)
    with pytest.raises(state.CheckpointError, match="carries no checksum"):
        state.load(path)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        state.load(tmp_path / "b.safetensors")


def test_several_parts_in_one_file(arrays):
    both = state.prefixed("net", arrays) | state.prefixed("opt", {"lr": np.array(0.1)})
    assert set(state.part("net", both)) == set(arrays)
    with pytest.raises(KeyError, match=r"nothing under 'ema'; there are \['net', 'opt'\]"):
        state.part("ema", both)


# Data


def test_batches_cover_the_dataset_once():
    rows = data.TensorDataset(np.arange(10.0), np.arange(10))
    for shuffle in (False, True):
        loader = data.DataLoader(rows, 4, shuffle=shuffle, generator=dl.Generator(0) if shuffle else None)
        assert len(loader) == 3
        for _ in range(2):
            seen = [int(i) for _, y in loader for i in y.numpy()]
            assert sorted(seen) == list(range(10)) and (shuffle or seen == list(range(10)))
    assert [len(x) for x, _ in data.DataLoader(rows, 4, drop_last=True)] == [4, 4]
    assert float(rows[-1][0]) == 9.0


def test_a_loader_goes_on_in_the_middle_of_an_epoch():
    rows = data.TensorDataset(np.arange(10))

    def loader():
        g = dl.Generator(3)
        return data.DataLoader(rows, 3, shuffle=True, generator=g), g

    first, g = loader()
    it = iter(first)
    next(it), next(it)
    saved, rng_state = first.state_dict(), g.state()
    rest = [b[0].numpy().tolist() for b in it] + [b[0].numpy().tolist() for b in first]
    second, h = loader()
    second.load_state_dict(saved)
    h.set_state(rng_state)
    assert [b[0].numpy().tolist() for b in second] + [b[0].numpy().tolist() for b in second] == rest


def test_chunks_of_trajectories():
    episodes = [(np.arange(4.0)[:, None], 10 + np.arange(4.0)[:, None]), (np.full((2, 1), 7.0), np.full((2, 1), 8.0))]
    chunks = data.TrajectoryChunks(episodes, n_obs=2, n_act=3)
    assert len(chunks) == 6
    obs, action = chunks[0]
    assert obs.numpy().ravel().tolist() == [0, 0] and action.numpy().ravel().tolist() == [10, 11, 12]
    obs, action = chunks[3]
    assert obs.numpy().ravel().tolist() == [2, 3] and action.numpy().ravel().tolist() == [13, 13, 13]
    assert chunks[4][0].numpy().ravel().tolist() == [7, 7]


def test_bad_data_is_named():
    with pytest.raises(ValueError, match=r"different numbers of examples, \[3, 4\]"):
        data.TensorDataset(np.zeros(3), np.zeros(4))
    bad = np.zeros((5, 2))
    bad[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"array 1 \(shape \[5, 2\]\) has a non-finite value, first in example 3"):
        data.TensorDataset(np.zeros(5), bad)
    with pytest.raises(ValueError, match="the dataset is empty"):
        data.TensorDataset(np.zeros((0, 3)))
    with pytest.raises(TypeError, match=r"generator=dl\.Generator"):
        data.DataLoader(data.TensorDataset(np.zeros(3)), 2, shuffle=True)
    with pytest.raises(ValueError, match="batch_size >= 1, got 0"):
        data.DataLoader(data.TensorDataset(np.zeros(3)), 0)
    with pytest.raises(ValueError, match="episode 1: array 0"):
        data.TrajectoryChunks([(np.zeros((2, 1)), np.zeros((2, 1))), (np.full((2, 1), np.inf), np.zeros((2, 1)))])
    with pytest.raises(IndexError, match="index 3 of 3 examples"):
        data.TensorDataset(np.zeros(3))[3]
