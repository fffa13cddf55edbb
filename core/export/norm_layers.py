"""The layers of Keras and PyTorch that normalise, and how images are tested with them."""

from core.config import RunConfig
from core.export.keras_decay import decayed
from core.export.shared import rounded
from core.parts.models import MODELS
from core.parts.normalisations import NORM_TESTS, NORM_VARIANCES, NORMALISATIONS

TORCH_BIASED = '''\
class BatchNorm1d(nn.BatchNorm1d):
    """PyTorch averages variances over n - 1; this averages those over n."""

    def forward(self, x):
        normalised = super().forward(x)
        if self.training:
            less = self.momentum * x.detach().var(0) / len(x)
            self.running_var = self.running_var - less
        return normalised


'''
KERAS_UNBIASED = '''\
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras averages variances over n; this averages those over n - 1."""

    def call(self, x, training=None):
        normalised = super().call(x, training=training)
        if training:
            more = (1 - self.momentum) / {rest} * ops.var(x, axis=0)
            self.moving_variance.assign(self.moving_variance + more)
        return normalised


'''
KERAS_OWN = '''\
class BatchNormalization(keras.layers.BatchNormalization):
    """BatchNorm with the mean and variance of the batch at test time, too."""

    def call(self, x, training=None):
        return super().call(x, training=True)


'''
_WORDS = '''\
    """Logits of batches of up to {most} images, each normalised by its own mean and variance.

    With k batches, the first takes images 0, k, 2k, ...; the last places are filled.
    """
    k = -(-len(x) // {most})'''
TORCH_AT_TEST = f"""\
def at_test(x):
{_WORDS}
    filled = torch.cat([x, x[: -len(x) % k]])
    z = torch.stack([model(filled[i::k]) for i in range(k)], 1)
    return z.reshape(len(filled), -1)[: len(x)]


"""
KERAS_AT_TEST = f"""\
def at_test(x):
{_WORDS}
    filled = np.concatenate([x, x[: -len(x) % k]])
    z = np.stack([model.predict_on_batch(filled[i::k]) for i in range(k)], 1)
    return z.reshape(len(filled), -1)[: len(x)]


"""


def own(config: RunConfig) -> int | None:
    """How many images are tested together, if they are normalised by their own numbers."""
    batch = NORMALISATIONS[config.normalisation].test_batch
    of_layers = batch if NORM_TESTS[config.norm_test].own else None
    return MODELS[config.model].test_batch or of_layers


def _factor(config: RunConfig) -> float:
    return NORM_VARIANCES[config.norm_variance].factor(config.batch_size)


def torch_missing(config: RunConfig) -> str:
    """Why PyTorch cannot train a run, or "" if it can."""
    if config.normalisation == "batch_norm" and config.batch_size == 1:
        return "PyTorch's BatchNorm refuses a batch of one image."
    return ""


def in_torch(config: RunConfig, width: int) -> list[str]:
    """The layer of PyTorch that normalises so many units, if they are normalised."""
    epsilon = f"eps={rounded(config.norm_epsilon)}"
    if config.normalisation == "layer_norm":
        return [f"nn.LayerNorm({width}, {epsilon})"]
    if config.normalisation == "none":
        return []
    if own(config):
        return [f"nn.BatchNorm1d({width}, {epsilon}, track_running_stats=False)"]
    momentum = f"momentum={rounded(1 - config.norm_momentum)}"
    name = "BatchNorm1d" if torch_class(config) else "nn.BatchNorm1d"
    return [f"{name}({width}, {epsilon}, {momentum})"]


def torch_class(config: RunConfig) -> str:
    """The lines that BatchNorm needs before it can be used."""
    biased = config.normalisation == "batch_norm" and _factor(config) == 1 and not own(config)
    return TORCH_BIASED if biased else ""


def in_keras(config: RunConfig) -> list[str]:
    """The layer of Keras that normalises, if units are normalised."""
    decay = decayed(config, [], ["beta_", "gamma_"])  # as biases do
    epsilon = f"epsilon={rounded(config.norm_epsilon)}{decay}"
    if config.normalisation == "layer_norm":
        return [f"keras.layers.LayerNormalization({epsilon})"]
    if config.normalisation == "none":
        return []
    name = "BatchNormalization" if keras_class(config) else "keras.layers.BatchNormalization"
    momentum = "" if own(config) else f"momentum={rounded(config.norm_momentum)}, "
    return [f"{name}({momentum}{epsilon})"]


def keras_class(config: RunConfig) -> str:
    """The lines that BatchNorm needs before it can be used."""
    if config.normalisation != "batch_norm":
        return ""
    if own(config):
        return KERAS_OWN
    return "" if _factor(config) == 1 else KERAS_UNBIASED.format(rest=config.batch_size - 1)
