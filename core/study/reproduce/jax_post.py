"""The networks of the post "Getting started with JAX", on all of MNIST.

The post printed one run of the MLP and one of its CNN, whose axes are those of PyTorch; what the
same layers do with corrected axes is a fact, measured on JAX 0.10.2. Figures are of single runs, as
in the post; the bands allow for other seeds and other orders of summation.

The post tells its optimizer that every step is step 0: `opt_update(0, grads, opt_state)`. Its table
is that of Adam with the corrections for a first step always on; if steps are counted, the same MLP
is less accurate.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from core.presets import PRESETS
from core.run import train
from core.study.reproduce import printed
from core.study.reproduce.finding import Finding, Kind
from core.study.reproduce.full_mnist import local
from core.study.reproduce.printed import Printed

BEST = 0  # instead of an epoch: the best of all ten

# preset -> who states the figures, those figures, epoch -> the band for the test accuracy
TEST_ACCURACY: dict[str, tuple[Kind, Printed, dict[int, tuple[float, float]]]] = {
    "jax_mlp_full": (
        Kind.PUBLISHED, printed.MLP,
        {1: (0.962, 1), 2: (0.973, 1), 3: (0.976, 1), BEST: (0.979, 1)},
    ),
    "jax_cnn_28_channels_full": (
        Kind.PUBLISHED, printed.CNN,
        {1: (0.962, 0.972), 2: (0.970, 0.980), 3: (0.973, 0.983), BEST: (0.979, 0.984)},
    ),
    "jax_cnn_full": (
        Kind.FACT, printed.CNN_RIGHT,
        {1: (0.972, 1), 2: (0.979, 1), 3: (0.981, 1), BEST: (0.985, 1)},
    ),
}  # fmt: skip


@cache
def _epochs(preset: str, epochs: int) -> list[float]:
    """The test accuracy after each epoch."""
    config = replace(PRESETS[preset].config, epochs=epochs)
    ends = range(config.steps_per_epoch, config.steps + 1, config.steps_per_epoch)
    accuracy = {s.step: s.test_accuracy for s in train.run(config, local(config))}
    return [accuracy[step] for step in ends]


def jax_post() -> Iterator[Finding]:
    """Test accuracy after one, two and three epochs."""
    for preset in TEST_ACCURACY:
        for epoch, accuracy in enumerate(_epochs(preset, 3), 1):
            yield _test_accuracy(preset, epoch, accuracy)


def jax_post_10() -> Iterator[Finding]:
    """The best test accuracy of ten epochs."""
    for preset in TEST_ACCURACY:
        yield _test_accuracy(preset, BEST, max(_epochs(preset, 10)))


def _test_accuracy(preset: str, epoch: int, measured: float) -> Finding:
    kind, table, bands = TEST_ACCURACY[preset]
    stated = table.test[epoch - 1] if epoch else max(table.test)
    when = f"after epoch {epoch}" if epoch else "best of ten epochs"
    name = PRESETS[preset].label.removesuffix(", full MNIST")
    return Finding(f"{name}: test accuracy {when}", kind, stated, measured, *bands[epoch])
