"""The GRU, compared with the post's own code and with a loop in NumPy."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax, random
from jax.example_libraries import stax
from jax.nn import sigmoid
from jax.nn.initializers import glorot_normal, normal

from core.data.ou import Process, series
from core.parts.gru import Gate, LaterReset, Weights
from core.parts.initializers import INITIALIZERS
from core.parts.models import MODELS, layers, parameter_names
from tests.kit.runs import filled, quick

BATCH, TIME = 64, 9
GLOROT = INITIALIZERS["glorot_normal"]
X = jnp.asarray(series(Process(), BATCH).inputs)


def drawn(init, shape, seed=0):
    """The weights with which a network starts."""
    return quick(lambda key: init(key, shape)[1])(jax.random.PRNGKey(seed))


def GRU(out_dim, W_init=glorot_normal(), b_init=normal()):  # noqa: B008 (as the post has it)
    """The post's layer, line by line, including its mistakes."""

    def init_fun(rng, input_shape):
        hidden = b_init(rng, (input_shape[0], out_dim))
        k1, k2, k3 = random.split(rng, num=3)
        update_W, update_U, update_b = (
            W_init(k1, (input_shape[2], out_dim)),
            W_init(k2, (out_dim, out_dim)),
            b_init(k3, (out_dim,)),
        )
        k1, k2, k3 = random.split(rng, num=3)
        reset_W, reset_U, reset_b = (
            W_init(k1, (input_shape[2], out_dim)),
            W_init(k2, (out_dim, out_dim)),
            b_init(k3, (out_dim,)),
        )
        k1, k2, k3 = random.split(rng, num=3)
        out_W, out_U, out_b = (
            W_init(k1, (input_shape[2], out_dim)),
            W_init(k2, (out_dim, out_dim)),
            b_init(k3, (out_dim,)),
        )
        output_shape = (input_shape[0], input_shape[1], out_dim)
        return (
            output_shape,
            (
                hidden,
                (update_W, update_U, update_b),
                (reset_W, reset_U, reset_b),
                (out_W, out_U, out_b),
            ),
        )

    def apply_fun(params, inputs, **kwargs):
        h = params[0]

        def apply_fun_scan(params, hidden, inp):
            (
                _,
                (update_W, update_U, update_b),
                (reset_W, reset_U, reset_b),
                (
                    out_W,
                    out_U,
                    out_b,
                ),
            ) = params
            update_gate = sigmoid(jnp.dot(inp, update_W) + jnp.dot(hidden, update_U) + update_b)
            reset_gate = sigmoid(jnp.dot(inp, reset_W) + jnp.dot(hidden, reset_U) + reset_b)
            output_gate = jnp.tanh(
                jnp.dot(inp, out_W) + jnp.dot(jnp.multiply(reset_gate, hidden), out_U) + out_b
            )
            output = jnp.multiply(update_gate, hidden) + jnp.multiply(1 - update_gate, output_gate)
            hidden = output
            return hidden, hidden

        inputs = jnp.moveaxis(inputs, 1, 0)
        f = partial(apply_fun_scan, params)
        _, h_new = lax.scan(f, h, inputs)
        return h_new

    return init_fun, apply_fun


def test_it_is_the_post_s_network_bit_for_bit() -> None:
    post_init, post = stax.serial(stax.Dense(12), stax.Relu, GRU(12), stax.Dense(1))
    init, apply, *_ = MODELS["gru_reused"].build((12, 12), TIME, GLOROT)
    shapes = []

    @quick
    def both(key):
        shape, params = init(key, (BATCH, TIME))
        shapes.append(shape)
        return params, post_init(key, (BATCH, TIME + 1, 1))[1]

    ours, theirs = both(jax.random.PRNGKey(0))
    assert shapes == [(BATCH, TIME)]
    jax.tree.map(np.testing.assert_array_equal, jax.tree.leaves(ours), jax.tree.leaves(theirs))
    by_post = quick(lambda params: post(params, X[..., None])[..., 0].T)(theirs)
    np.testing.assert_array_equal(quick(apply)(ours, X), by_post)


@cache
def unit(key: str, seed: int = 0) -> Weights:
    init, *_ = MODELS[key].build((12, 12), TIME, GLOROT)
    found = layers(drawn(init, (BATCH, TIME), seed))[1]
    assert isinstance(found, Weights)
    return found


def test_one_key_makes_the_gates_equal_and_split_keys_make_them_differ() -> None:
    for ours, equal in (("gru_reused", True), ("gru", False)):
        gates = unit(ours)[1:]
        for other in gates[1:]:
            for a, b in zip(gates[0], other, strict=True):
                assert np.array_equal(a, b) == equal
                assert equal or not np.any(a == b)


@pytest.mark.slow
def test_pytorch_s_biases_are_bounded_by_the_inputs_and_in_the_gru_by_its_units() -> None:
    init, *_ = MODELS["gru"].build((200, 400), TIME, INITIALIZERS["pytorch"])
    (_, dense), gru, (_, last) = layers(drawn(init, (BATCH, TIME)))
    assert 0.95 < np.abs(dense).max() <= 1, "its only input is the value read"
    assert np.abs(last).max() <= 1 / np.sqrt(400)
    for gate in (gru.update, gru.reset, gru.candidate):
        for values, inputs in zip(gate, (200, 400, 400), strict=True):
            assert 0.95 < np.abs(values).max() * np.sqrt(inputs) <= 1.0001


@pytest.mark.slow
def test_a_gru_that_resets_later_starts_from_the_same_weights() -> None:
    before, after = unit("gru"), unit("gru_reset_after")
    later = after.candidate
    assert isinstance(later, LaterReset)
    assert not np.any(later.state_biases == later.biases)
    same = after._replace(candidate=Gate(*later[:3]))
    jax.tree.map(np.testing.assert_array_equal, before, same)


@pytest.mark.parametrize(
    ("key", "widths"), [("gru", (5,)), ("gru_reused", (3, 4, 5)), ("gru_reset_after", (3, 5))]
)
def test_predictions_agree_with_a_loop_by_hand(key: str, widths: tuple[int, ...]) -> None:
    init, apply, passed = MODELS[key].build(widths, TIME, GLOROT)
    params = filled(init, (BATCH, TIME), 1, 0.3)
    applied, (predictions, seen) = quick(lambda params: (apply(params, X), passed(params, X)))(
        params
    )
    np.testing.assert_array_equal(predictions, applied)
    *dense, gru, (last, bias) = jax.tree.map(lambda leaf: np.asarray(leaf, float), layers(params))
    x = np.asarray(X, float)[..., None]
    units = []
    for w, b in dense:
        units.append(x := np.maximum(x @ w + b, 0))
    h, states = gru.start, []
    for t in range(TIME):
        z, r = (
            1 / (1 + np.exp(-(x[:, t] @ g.inputs + h @ g.states + g.biases)))
            for g in (gru.update, gru.reset)
        )
        c = gru.candidate
        if key == "gru_reset_after":
            state = r * (h @ c.states + c.state_biases)
        else:
            state = (r * h) @ c.states
        h = z * h + (1 - z) * np.tanh(x[:, t] @ c.inputs + state + c.biases)
        states.append(h)
    expected = (np.stack(states, axis=1) @ last + bias)[..., 0]
    np.testing.assert_allclose(predictions, expected, atol=1e-5)
    seen = [layer.units for layer in seen]
    assert [each.shape for each in seen] == [(BATCH * TIME, width) for width in widths]
    for each, by_hand in zip(seen, [*units, np.stack(states)], strict=True):
        np.testing.assert_allclose(each, by_hand.reshape(each.shape), atol=1e-5)


def test_larger_and_smaller_batches_reuse_the_start_from_its_first_row() -> None:
    init, apply, *_ = MODELS["gru"].build((12, 12), TIME, GLOROT)
    params, apply = filled(init, (BATCH, TIME), 0, 0.3), quick(apply)
    many = jnp.concatenate([X, X[:10]])
    out = apply(params, many)
    np.testing.assert_allclose(out[:BATCH], apply(params, X), atol=1e-6)
    np.testing.assert_allclose(out[BATCH:], apply(params, X)[:10], atol=1e-6)
    np.testing.assert_allclose(apply(params, X[:3]), out[:3], atol=1e-6)


def test_every_weight_has_its_own_name() -> None:
    init, *_ = MODELS["gru"].build((12, 12), TIME, GLOROT)
    params = jax.eval_shape(lambda key: init(key, (BATCH, TIME))[1], jax.random.PRNGKey(0))
    names = parameter_names(params)
    assert len(set(names)) == len(names) == len(jax.tree.leaves(params))
    assert names[2:5] == ["layer 2 start", "layer 2 update inputs", "layer 2 update states"]
