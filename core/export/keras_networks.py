"""The networks of a Keras script besides the MLP: convolutions, and GRUs on series."""

from collections.abc import Iterator

from core.config import RunConfig
from core.export import norm_layers, numpy_lines, shared
from core.export.keras_decay import decayed
from core.parts.choices import TASKS
from core.parts.clip_and_decay import CLIP_FORMS
from core.parts.models import MODELS, STRIDE

# Mean squared errors of each series, from y and z [series, time].
SQUARED = {
    "mse_aligned": ["return ops.mean((z - y) ** 2, axis=-1)"],
    "mse_broadcast": [
        "return ops.mean((z[:, :, None] - y[:, None, :]) ** 2, axis=(1, 2))  # with all times",
    ],
}


def cannot(config: RunConfig) -> Iterator[str]:
    """What these networks do not do as in the run."""
    row, clip = MODELS[config.model], CLIP_FORMS[config.clip_form]
    if row.series and clip.norm == "each":
        yield (
            "Keras joins the weights of a GRU's three gates in one array, so their gradients are "
            "clipped together."
        )
    elif row.reset_after and clip.norm != "none":
        yield (
            "Keras has second biases in all gates of this GRU. They are kept at 0, but their "
            "gradients are part of the norm by which all are clipped."
        )


def network(config: RunConfig) -> str:
    """The network and its weights."""
    return _recurrent(config) if MODELS[config.model].series else _convolutions(config)


# Convolutions


def _convolutions(config: RunConfig) -> str:
    row = MODELS[config.model]
    padding = "" if row.around else ', padding="same"'
    layers = ["keras.Input((784,))", f"keras.layers.Reshape({row.axes})"]
    for place, (filters, size) in enumerate(numpy_lines.FILTERS):
        if row.around:
            layers += [f"keras.layers.ZeroPadding2D({size // 2})"]
        layers += [f"conv({filters}, {size})"]
        if place < len(numpy_lines.FILTERS) - 1:
            layers += ["norm()"]
        layers += ["keras.layers.ReLU()"]
    decay = decayed(config, ["kernel_"], ["bias_"])
    layers += [
        "keras.layers.Flatten()",
        f"keras.layers.Dense({TASKS[config.task].outputs}{decay})",
    ]
    stack = "".join(f"        {layer},\n" for layer in layers)
    layer = len(numpy_lines.FILTERS) + 1  # the last one's number
    of_norm = decayed(config, [], ["gamma_", "beta_"])
    return f'''\
{numpy_lines.NAMED}

{norm_layers.KERAS_OWN}def conv(filters, size):
    """A convolution of stride {STRIDE}."""
    return keras.layers.Conv2D(filters, size, {STRIDE}{padding}{decay})


def norm():
    """BatchNorm; Keras's epsilon is 1e-3."""
    return BatchNormalization(epsilon=1e-5{of_norm})


model = keras.Sequential(
    [
{stack}    ]
)
arrays = initial_weights("{shared.WEIGHTS}")
kinds = ("weights", "biases", "gamma", "beta")
names = [f"layer {{i}} {{kind}}" for i in range(1, {layer + 1}) for kind in kinds]
for w, name in zip(model.trainable_variables, [name for name in names if name in arrays]):
    w.assign(arrays[name].reshape(w.shape))'''


# Series


def _recurrent(config: RunConfig) -> str:
    time, width, place = TASKS[config.task].inputs, config.widths[-1], len(config.widths)
    after = MODELS[config.model].reset_after
    decay = decayed(config, ["kernel_"], ["bias_"])
    dense = "".join(
        f'units = keras.layers.Dense({each}, activation="relu"{decay})(units)\n'
        for each in config.widths[:-1]
    )
    constraint = "\n    bias_constraint=one_bias," if after else ""
    of_gru = "".join(
        f"\n    {each},"
        for each in decayed(config, ["kernel_", "recurrent_"], ["bias_"]).split(", ")[1:]
    )
    of_start = decayed(config, [], [""])
    layers = [i for i in range(1, place + 2) if i != place]
    biases = _TWO_BIASES.format(place=place, width=width) if after else 'joined("biases")'
    return f'''\
{numpy_lines.NAMED}

class Start(keras.layers.Layer):
    """The state before the first value, which is learnt: a row for each place in the batch."""

    def build(self, shape):
        self.rows = self.add_weight(({config.batch_size}, {width}), "zeros"{of_start})

    def call(self, x):
        return ops.take(self.rows, ops.arange(ops.shape(x)[0]) % {config.batch_size}, axis=0)


{_ONE_BIAS.format(width=width) if after else ""}start = Start()
gru = keras.layers.GRU(
    {width},
    reset_after={after},{constraint}{of_gru}
    return_sequences=True,
)
series = keras.Input(({time},))
units = keras.layers.Reshape(({time}, 1))(series)
{dense}units = gru(units, initial_state=start(units))
units = keras.layers.Dense(1{decay})(units)
model = keras.Model(series, keras.layers.Reshape(({time},))(units))
arrays = initial_weights("{shared.WEIGHTS}")


def joined(kind):
    """Weights of the gates, side by side as Keras has them."""
    gates = ("update", "reset", "candidate")
    return np.concatenate([arrays[f"layer {place} {{gate}} {{kind}}"] for gate in gates], -1)


start.set_weights([arrays["layer {place} start"]])
gru.set_weights([joined("inputs"), joined("states"), {biases}])
dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
for i, layer in zip({layers}, dense):
    layer.set_weights([arrays[f"layer {{i}} weights"], arrays[f"layer {{i}} biases"]])'''


_ONE_BIAS = '''\
def one_bias(biases):
    """Keep the second biases of the update and the reset gate at 0: the run does not have them."""
    first, second = np.ones({width}), np.zeros({width})
    kept = [[*first, *first, *first], [*second, *second, *first]]
    return biases * ops.convert_to_tensor(kept, "float32")


'''
_TWO_BIASES = """np.stack([
    joined("biases"),
    np.concatenate([np.zeros(2 * {width}), arrays["layer {place} candidate state biases"]]),
])"""

OF_SERIES = '''\
def measured(x, y):
    """Loss and mean squared error on these series as they are now."""
    z = model.predict_on_batch(x)
    loss = ops.mean(losses(ops.convert_to_tensor(y), ops.convert_to_tensor(z)))
    return float(loss), np.mean((z - y) ** 2)'''
