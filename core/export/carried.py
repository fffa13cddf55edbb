"""What a script reads: the data, and weights for frameworks that draw others."""

import io

import jax
import numpy as np
import safetensors.numpy

from core.config import RunConfig
from core.data import load
from core.parts.models import layers, parameter_names
from core.run import train
from core.run.prepare import device_data

MOST_ORDERED = 20_000_000  # places of images that are carried: 40 MB
PLACES = np.uint16  # 60,000 images have places below 65,536


def data(config: RunConfig, *, ordered: bool) -> bytes:
    """An .npz of the run's images, bytes [n, 784], and their digits, for training and held out.

    If `ordered` and the run has batches, also `order`: uint16 [epochs, n], the places of the images
    in the order of each epoch, or of the first epochs that fit into MOST_ORDERED places.

    Raises DataUnavailable.
    """
    arrays = load(config.source, config.train_size, process=config.process)._asdict()
    if ordered and not config.full_batch:
        arrays["order"] = _order(config)
    return _npz(arrays)


def ordered_epochs(config: RunConfig) -> int:
    """The number of epochs whose order is carried."""
    if config.shuffle in ("once", "never"):
        return 1
    return min(config.epochs, max(1, MOST_ORDERED // config.train_size))


def _order(config: RunConfig) -> np.ndarray:
    arranged, knobs = device_data(config).arranged, train.knobs(config)
    order = train.program(train.shape(config)).order
    epochs = range(ordered_epochs(config))
    return np.array([order(arranged, knobs, np.int32(epoch)) for epoch in epochs], PLACES)


def weights(config: RunConfig) -> bytes:
    """The run's weights before the first step, as .safetensors of float32.

    They are named as in "layer 1 weights", [inputs, outputs], and "layer 1 biases".
    """
    params = train.program(train.shape(config)).draw(train.knobs(config)).params
    leaves = [
        np.asarray(leaf).astype(np.float32)  # in which the scripts that read it compute
        for layer in layers(params)
        for leaf in jax.tree.leaves(layer)
    ]
    names = parameter_names(params)
    return safetensors.numpy.save(dict(zip(names, leaves, strict=True)))


def _npz(arrays: dict[str, np.ndarray]) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()
