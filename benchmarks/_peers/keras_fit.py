"""Keras's own `fit`, on the backend that the environment names."""

from collections.abc import Callable

import keras
from keras import layers

from benchmarks._peers import BATCH, CONVOLUTIONS, NORMALISED, RATE, WIDTHS, Data

VERSION = f"Keras {keras.__version__} on {keras.backend.backend()}"


def epochs(network: str, data: Data) -> Callable[[], None]:
    keras.utils.set_random_seed(0)
    model = mlp() if network == "mlp" else cnn()
    x = data.standardised()
    if network == "cnn":
        x = x.reshape(-1, 28, 28, 1)
    y = data.labels.astype("int32")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")
    model.compile(optimizer=keras.optimizers.Adam(RATE), loss=loss)

    def epoch() -> None:
        model.fit(x, y, batch_size=BATCH, epochs=1, shuffle=True, verbose=0)

    return epoch


def mlp() -> keras.Model:
    hidden = [layers.Dense(width, activation="relu") for width in WIDTHS[1:-1]]
    return keras.Sequential([keras.Input((WIDTHS[0],)), *hidden, layers.Dense(WIDTHS[-1])])


def cnn() -> keras.Model:
    stack = [keras.Input((28, 28, 1))]
    for i, (filters, size) in enumerate(CONVOLUTIONS):
        stack.append(layers.Conv2D(filters, size, strides=2, padding="same"))
        stack += [layers.BatchNormalization()] if i < NORMALISED else []
        stack.append(layers.ReLU())
    return keras.Sequential([*stack, layers.Flatten(), layers.Dense(10)])
