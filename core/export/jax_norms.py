"""Hidden layers of a JAX script that are normalised, and the running averages of BatchNorm."""

from core.config import RunConfig
from core.export.shared import rounded
from core.parts.normalisations import NORM_TESTS, NORM_VARIANCES, NORMALISATIONS
from core.parts.precisions import PRECISIONS


def averages(config: RunConfig) -> bool:
    """Whether images are tested with running averages, which the steps then keep."""
    row = NORMALISATIONS[config.normalisation]
    return row.test_batch is not None and not NORM_TESTS[config.norm_test].own


def test_batch(config: RunConfig) -> int | None:
    """How many images are tested together, if each affects the others' answers."""
    row = NORMALISATIONS[config.normalisation]
    return None if averages(config) else row.test_batch


def function(config: RunConfig) -> str:
    """The function that normalises a layer's sums; `init` gives its weights."""
    wide = PRECISIONS[config.precision].compute.dtype.itemsize < 4
    axis, more = ("1, keepdims=True", "") if config.normalisation == "layer_norm" else ("0", "")
    body = ["beta, gamma = params"]
    if wide:
        body = ["dtype = x.dtype", "beta, gamma, x = (a.astype(jnp.float32) for a in (*params, x))"]
    body += [f"mean, variance = jnp.mean(x, axis={axis}), jnp.var(x, axis={axis})"]
    if averages(config):
        more = ", place, moments=None, running=None"
        body += [
            "if moments is not None:",
            "    moments.append((mean, variance))",
            "if running is not None:",
            "    mean, variance = running[place]",
        ]
    result = "gamma * ((x - mean) * lax.rsqrt(variance + EPSILON)) + beta"
    body += [f"return ({result}).astype(dtype)" if wide else f"return {result}"]
    units = "each image" if config.normalisation == "layer_norm" else "each unit"
    lines = "\n".join("    " + line for line in body)
    return f'''\
EPSILON = np.float32({rounded(config.norm_epsilon)})


def normalised(params, x{more}):
    """{NORMALISATIONS[config.normalisation].label}: the sums of {units} get mean 0, variance 1."""
{lines}


def scale_and_shift(rng, shape):
    """The weights of a layer's normalisation, beta and gamma, which need no random numbers."""
    return shape, (jnp.zeros(shape[-1]), jnp.ones(shape[-1]))'''


def begun(config: RunConfig) -> str:
    """The running averages before the first step, and the pass that gives what they average."""
    widths = ", ".join(f"{width}" for width in config.widths)
    wide = PRECISIONS[config.precision].weights.dtype.itemsize > 4
    dtype = ", jnp.float64" if wide else ""
    return f'''\
# Of each hidden layer, the running averages of its mean and variance.
MOMENTUM = np.float32({rounded(config.norm_momentum)})
running = [(jnp.zeros(n{dtype}), jnp.ones(n{dtype})) for n in [{widths}]]


def passed(params, x, **options):
    """Logits, and the mean and variance of each hidden layer in this batch."""
    moments = []
    return apply(params, x, moments=moments, **options), moments'''


def averaged(config: RunConfig) -> list[str]:
    """The lines of a step that change the running averages."""
    factor = NORM_VARIANCES[config.norm_variance].factor(config.batch_size)
    lines = []
    if factor != 1:
        of = f"np.float32({rounded(factor)}) * variance"
        lines += [f"moments = [(mean, {of}) for mean, variance in moments]  # over n - 1"]
    return [
        *lines,
        "running = jax.tree.map(",
        "    lambda kept, new: MOMENTUM * kept + (1 - MOMENTUM) * new, running, moments",
        ")",
    ]
