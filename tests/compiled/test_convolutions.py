"""What the post's CNN computes from its images, and what it cannot see."""

import math
from dataclasses import replace

import jax
import numpy as np
import pytest

from core.config import RunConfig
from core.parts import models
from core.parts.choices import TASKS
from core.parts.initializers import INITIALIZERS
from core.parts.models import MODELS
from core.presets import PRESETS
from core.run import train
from core.run.prepare import device_data
from core.study import batch_norm, convolutions
from core.study.batch_norm import Evaluated
from core.study.convolutions import FirstLayer, Stage
from tests.kit.runs import filled, quick

POST = PRESETS["jax_cnn_28_channels"].config
RIGHT = PRESETS["jax_cnn"].config
SMALL = {"train_size": 250, "batch_size": 50, "epochs": 1, "optimizer": "adam"}  # as test_cnn.py


def test_shapes_of_both_networks() -> None:
    right, post = convolutions.stages(RIGHT), convolutions.stages(POST)
    assert right[0] == Stage((5, 5, 1, 32), 800 + 3 * 32, (14, 14, 32))
    assert post[0] == Stage((5, 5, 28, 32), 22_400 + 3 * 32, (1, 14, 32))
    assert [stage.gives for stage in post[1:]] == [(1, 7, 32), (1, 4, 10), (1, 2, 10), (10,)]
    assert [stage.kernel for stage in right[1:4]] == [stage.kernel for stage in post[1:4]]


@pytest.mark.parametrize("config", [POST, RIGHT], ids=["post", "right"])
def test_a_window_holds_the_pixels_that_have_a_gradient_and_no_others(config: RunConfig) -> None:
    """Checked for each pixel of the first layer's map, under random weights."""
    axes, kernel = MODELS[config.model].axes, convolutions.stages(config)[0].kernel
    _, layer = models._conv(kernel[-1], kernel[0])
    rng = np.random.default_rng(0)
    weights, biases, x = (
        rng.normal(size=shape).astype(np.float32) for shape in (kernel, kernel[-1:], (1, *axes))
    )

    def filtered(x: jax.Array) -> jax.Array:
        return layer((weights, biases), x)[0, :, :, 0]

    gradients = np.asarray(quick(jax.jacobian(filtered))(x))
    height, width = gradients.shape[:2]
    by_row = gradients.reshape((width, 1, 28, 28) if height == 1 else (height, width, 28, 28))
    assert by_row.shape[:2] == (14, 14 if config is RIGHT else 1)
    for row, column in np.ndindex(by_row.shape[:2]):
        rows, columns = convolutions.window(axes, kernel, row, column)
        inside = [[i in rows and j in columns for j in range(28)] for i in range(28)]
        assert np.array_equal(by_row[row, column] != 0, inside)


@pytest.mark.parametrize("config", [POST, RIGHT], ids=["post", "right"])
def test_the_stages_have_as_many_numbers_as_the_run(config: RunConfig) -> None:
    init = train.Step(train.shape(config)).init
    params = jax.eval_shape(init, train.knobs(config)).params
    count = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
    assert sum(stage.numbers for stage in convolutions.stages(config)) == count


def test_the_posts_network_computes_the_same_from_shuffled_columns() -> None:
    """Its first kernel is shuffled in the same order. With the right axes the result changes."""
    rng = np.random.default_rng(0)
    x, order = rng.normal(size=(20, 28, 28)).astype(np.float32), rng.permutation(28)
    for config, same in ((POST, True), (RIGHT, False)):
        model = MODELS[config.model].build(
            config.widths, TASKS[config.task].outputs, INITIALIZERS[config.initializer]
        )
        params = filled(model.init, (1, 784))
        (kernel, biases), *rest = params
        moved = kernel[:, :, order] if same else kernel
        apply = quick(model.apply)
        plain = apply(params, x.reshape(20, 784))
        other = apply([(moved, biases), *rest], x[:, :, order].reshape(20, 784))
        assert np.allclose(plain, other, atol=1e-4) is same


@pytest.mark.slow
@pytest.mark.parametrize(("config", "moves"), [(POST, 1 / 5), (RIGHT, 1.0)], ids=["post", "right"])
def test_a_trained_network_is_looked_at(
    config: RunConfig, moves: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_norm, "SIZES", (100,))
    config = replace(config, **SMALL)
    data = device_data(config)
    pieces = [piece for piece in convolutions.trained(config, data) if piece is not None]
    layer, *answered = pieces
    assert isinstance(layer, FirstLayer) and layer.maps.shape[0] == convolutions.LOOKED_AT
    assert layer.moved == pytest.approx(moves, abs=0.01), "weights that see only padding never move"
    assert all(isinstance(each, Evaluated) for each in answered)
    assert [(each.size, each.by_class) for each in answered] == [(100, False), (100, True)]


@pytest.mark.slow
def test_a_cell_yields_seconds_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.study.basics.REPEATS", 1)
    found = dict(convolutions.conv_times())
    assert len(found) == 4 and all(seconds > 0 for seconds in found.values())
