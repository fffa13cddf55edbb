"""Lines that the scripts of Keras and PyTorch have in common: they read arrays with NumPy."""

from collections.abc import Iterator

from core.config import RunConfig
from core.export import shared
from core.export.carried import ordered_epochs
from core.export.script import Cell
from core.parts.choices import TASKS
from core.parts.precisions import PRECISIONS

READ = '''\
def initial_weights(file):
    """Arrays of a .safetensors file: eight bytes with a length, so much JSON, and the numbers."""
    content = Path(file).read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    arrays = {}
    for name, about in json.loads(content[8:start]).items():
        first, last = about["data_offsets"]
        numbers = np.frombuffer(content[start + first : start + last], "float32")
        arrays[name] = numbers.reshape(about["shape"])
    layers = range(1, 1 + sum("weights" in name for name in arrays))
    return [arrays[f"layer {i} {kind}"] for i in layers for kind in ("weights", "biases")]
'''
# The same, but all arrays by their names.
NAMED = READ.partition("    layers = ")[0] + "    return arrays\n"
# The post's convolutions: filters, and rows and columns of the kernel.
FILTERS = ((32, 5), (32, 5), (10, 3), (10, 3))


def cannot(config: RunConfig, framework: str) -> Iterator[str]:
    """What no script that reads the run's weights and order can do."""
    if config.precision != "float32":
        yield (
            f"The run computes in {PRECISIONS[config.precision].label}, and this script in float32."
        )
    if config.dropout != "off":
        yield f"{framework} draws other random numbers, and so drops other units."
    if _orders_end(config):
        yield (
            f"The order of the images is carried for {ordered_epochs(config):,} epochs; later ones "
            "have another."
        )


def data(config: RunConfig) -> Cell:
    """Images and labels: float32 [n, 784], and float32 [n, 1] (two classes) or int64 [n].

    Of series: float32 [n, time], and the same.
    """
    order = "" if config.full_batch else _ORDER
    if TASKS[config.task].series:
        return Cell(shared.data_words(config), _SERIES + order)
    if shared.is_binary(config):
        about, of_task = (
            "Whether the digit is 5 or more",
            '(digits >= 5)[:, None].astype("float32")',
        )
    else:
        about, of_task = "The digit", 'digits.astype("int64")'
    text = f'''\
def inputs(images):
    """Numbers for the network, [images, 784]."""
    return {shared.pixels(config, "images.astype(np.float32)")}


def labels(digits):
    """{about}."""
    return {of_task}


with np.load("{shared.DATA}") as data:
    x, y = inputs(data["train_images"]), labels(data["train_labels"])
    test_x, test_y = inputs(data["test_images"]), labels(data["test_labels"])'''
    return Cell(shared.data_words(config), text + order)


_ORDER = '\n    orders = data["order"].astype("int64")  # of each epoch'
_SERIES = f'''\
with np.load("{shared.DATA}") as data:
    x, y = data["train_images"], data["train_labels"]
    test_x, test_y = data["test_images"], data["test_labels"]'''


def order(config: RunConfig) -> str:
    """The expression that gives an epoch's order."""
    if config.shuffle in ("once", "never"):
        return "orders[0]"
    if _orders_end(config):
        drawn = "np.random.default_rng(epoch).permutation(len(x))"
        return f"orders[epoch] if epoch < len(orders) else {drawn}"
    return "orders[epoch]"


def _orders_end(config: RunConfig) -> bool:
    """Whether there are epochs whose order is not carried."""
    new = config.shuffle not in ("once", "never")
    return new and not config.full_batch and ordered_epochs(config) < config.epochs
