"""Linear models from impulse responses and from records."""

import numpy as np
import pytest
from estimate_cases import LINEAR

from controllers.identify import estimate_markov, hankel, ho_kalman, markov_parameters


def damped(name: str):
    case = LINEAR[name]
    return 0.7 * case.A, case.B, case.C


@pytest.mark.parametrize("T", [12, 13, 20])
@pytest.mark.parametrize("name", LINEAR)
def test_an_impulse_response_gives_its_plant_back(name, T):
    A, B, C = damped(name)
    D = np.arange(len(C) * B.shape[1], dtype=float).reshape(len(C), -1)
    model = ho_kalman(markov_parameters(A, B, C, T, D=D))
    assert len(model.A) == len(A)
    np.testing.assert_allclose(model.poles, np.sort_complex(np.linalg.eigvals(A)), atol=1e-6)
    again = markov_parameters(model.A, model.B, model.C, 60, D=model.D)
    np.testing.assert_allclose(again, markov_parameters(A, B, C, 60, D=D), atol=1e-7)


def test_the_hankel_matrix_is_observability_times_reachability():
    A, B, C = damped("random0")
    r = 6
    G = markov_parameters(A, B, C, 2 * r)
    O = np.vstack([C @ np.linalg.matrix_power(A, i) for i in range(r)])
    R = np.hstack([np.linalg.matrix_power(A, i) @ B for i in range(r)])
    np.testing.assert_allclose(hankel(G), O @ R, atol=1e-12)


@pytest.mark.parametrize("name", ["random0", "random1", "random4"])
def test_a_plant_from_its_record(name):
    """Random inputs, outputs with 1 % noise: the impulse response within what least squares leaves."""
    A, B, C = damped(name)
    A = A * 0.8
    rng, N, T = np.random.default_rng(0), 4000, 40
    u, x, y = rng.standard_normal((N, B.shape[1])), np.zeros(len(A)), []
    for k in range(N):
        y.append(C @ x)
        x = A @ x + B @ u[k]
    y = np.array(y)
    exact = markov_parameters(A, B, C, T)
    np.testing.assert_allclose(estimate_markov(y, u, T), exact, atol=1e-8)
    sigma = 0.01 * y.std()
    G = estimate_markov(y + sigma * rng.standard_normal(y.shape), u, T)
    np.testing.assert_allclose(G, exact, atol=6 * sigma / np.sqrt(N))
    model = ho_kalman(G, order=len(A))
    np.testing.assert_allclose(
        markov_parameters(model.A, model.B, model.C, T, D=model.D), exact, atol=0.02 * np.abs(exact).max()
    )


def test_errors():
    A, B, C = damped("random0")
    with pytest.raises(ValueError, match="order must be between 1 and"):
        ho_kalman(markov_parameters(A, B, C, 8), order=9)
    with pytest.raises(ValueError, match="order must be between"):
        ho_kalman(np.zeros((8, 1, 1)))
    with pytest.raises(ValueError, match="T >= 2"):
        hankel(np.zeros((1, 1, 1)))
    with pytest.raises(ValueError, match="u excites 1 of 5"):
        estimate_markov(np.zeros((50, 1)), np.concatenate([np.zeros((49, 1)), [[1.0]]]), 5)
    with pytest.raises(ValueError, match="are needed"):
        estimate_markov(np.zeros((50, 1)), np.zeros((40, 1)), 5)
