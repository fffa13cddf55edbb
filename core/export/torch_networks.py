"""The networks of a PyTorch script besides the MLP: convolutions, and GRUs on series."""

from itertools import pairwise

from jax import lax

from core.config import RunConfig
from core.export import numpy_lines, shared
from core.parts.choices import TASKS
from core.parts.models import MODELS, STRIDE

# Mean squared errors of each series, from y and z [series, time].
SQUARED = {
    "mse_aligned": ["return ((z - y) ** 2).mean(-1)"],
    "mse_broadcast": [
        "return ((z[:, :, None] - y[:, None, :]) ** 2).mean((1, 2))  # with all times",
    ],
}


def network(config: RunConfig) -> str:
    """The network and its weights."""
    return _recurrent(config) if MODELS[config.model].series else _convolutions(config)


# Convolutions


def _convolutions(config: RunConfig) -> str:
    row, outputs = MODELS[config.model], TASKS[config.task].outputs
    height, width, channels = row.axes
    layers = ["ChannelsFirst()"]
    for place, (filters, size) in enumerate(numpy_lines.FILTERS):
        pads = _pads((height, width), size)
        padding = f", padding={size // 2}" if row.around else ""
        if not padding:
            layers += [f"nn.ZeroPad2d({pads})"]
        layers += [f"nn.Conv2d({channels}, {filters}, {size}, stride={STRIDE}{padding})"]
        if place < len(numpy_lines.FILTERS) - 1:
            layers += [f"norm({filters})"]
        layers += ["nn.ReLU()"]
        height, width, channels = -(-height // STRIDE), -(-width // STRIDE), filters
    layers += ["nn.Flatten()", f"nn.Linear({height * width * channels}, {outputs})"]
    stack = "".join(f"    {layer},\n" for layer in layers)
    axes = ", ".join(map(str, row.axes))
    layer = len(numpy_lines.FILTERS) + 1  # the last one's number
    last = f"layer {layer} weights"
    same = "" if row.around else _SAME
    return f'''\
{numpy_lines.NAMED}

class ChannelsFirst(nn.Module):
    """Pictures as PyTorch reads them: [images, channels, height, width]."""

    def forward(self, x):
        return x.reshape(-1, {axes}).permute(0, 3, 1, 2)


def norm(channels):
    """BatchNorm that takes mean and variance from the batch, at test time too."""
    return nn.BatchNorm2d(channels, eps=1e-5, track_running_stats=False)


{same}model = nn.Sequential(
{stack})
arrays = initial_weights("{shared.WEIGHTS}")
# Rows, columns, channels and outputs, as in the kernels of the convolutions.
arrays["{last}"] = arrays["{last}"].reshape({height}, {width}, {channels}, {outputs})
kinds = ("weights", "biases", "gamma", "beta")
names = [f"layer {{i}} {{kind}}" for i in range(1, {layer + 1}) for kind in kinds]
with torch.no_grad():
    for w, name in zip(model.parameters(), [name for name in names if name in arrays]):
        array = arrays[name]
        if array.ndim == 4:
            array = array.transpose(3, 2, 0, 1)  # outputs, inputs, rows, columns here
        w.copy_(torch.tensor(array).reshape(w.shape))'''


_SAME = '# "Same" padding, left, right, top and bottom: where it is uneven, more at the end.\n'


def _pads(shape: tuple[int, int], size: int) -> tuple[int, ...]:
    """Zeros left, right, top and bottom."""
    rows, columns = lax.padtype_to_pads(shape, (size, size), (STRIDE, STRIDE), "SAME")
    return (*map(int, columns), *map(int, rows))


# Series

_GRU = '''\
class Gate(nn.Module):
    """The weights of a gate."""

    def __init__(self, inputs, width):
        super().__init__()
        self.inputs = nn.Linear(inputs, width)
        self.states = nn.Linear(width, width, bias=False)

    def forward(self, x, h):
        return self.inputs(x) + self.states(h)


class GRU(nn.Module):
    """[series, time, inputs] -> [series, time, width]; {about}

    The state before the first value is learnt, a row for each place in the batch.
    """

    def __init__(self, inputs, width, batch):
        super().__init__()
        self.start = nn.Parameter(torch.zeros(batch, width))
        self.update = Gate(inputs, width)
        self.reset = Gate(inputs, width)
        self.candidate = Gate(inputs, width){more}

    def forward(self, x):
        h = self.start[torch.arange(len(x)) % len(self.start)]
        states = []
        for now in x.unbind(1):
            z = torch.sigmoid(self.update(now, h))
            r = torch.sigmoid(self.reset(now, h))
            h = z * h + (1 - z) * torch.tanh({candidate})
            states.append(h)
        return torch.stack(states, 1)'''


def _gru(config: RunConfig) -> str:
    """The layer: nn.GRU has second biases in all gates, which make steps of the first larger."""
    if MODELS[config.model].reset_after:
        return _GRU.format(
            about="nn.GRU with one bias in the update and the reset gate.",
            more="\n        self.candidate.states = nn.Linear(width, width)  # with biases",
            candidate="self.candidate.inputs(now) + r * self.candidate.states(h)",
        )
    return _GRU.format(
        about="nn.GRU resets after the product with the state.",
        more="",
        candidate="self.candidate(now, r * h)",
    )


def _recurrent(config: RunConfig) -> str:
    time, width = TASKS[config.task].inputs, config.widths[-1]
    layers = [f"nn.Unflatten(1, ({time}, 1))"]
    for inputs, each in pairwise((1, *config.widths[:-1])):
        layers += [f"nn.Linear({inputs}, {each})", "nn.ReLU()"]
    inputs = (1, *config.widths)[-2]
    layers += [f"GRU({inputs}, {width}, {config.batch_size})", f"nn.Linear({width}, 1)"]
    layers += ["nn.Flatten()"]
    stack = "".join(f"    {layer},\n" for layer in layers)
    return f"""\
{numpy_lines.NAMED}

{_gru(config)}


model = nn.Sequential(
{stack})
arrays = initial_weights("{shared.WEIGHTS}")
of_gates = [
    f"{{gate}} {{kind}}"
    for gate in ("update", "reset", "candidate")
    for kind in ("inputs", "biases", "states", "state biases")
]
kinds = ("start", *of_gates, "weights", "biases")
names = [f"layer {{i}} {{kind}}" for i in range(1, {len(config.widths) + 2}) for kind in kinds]
with torch.no_grad():
    for w, name in zip(model.parameters(), [name for name in names if name in arrays]):
        array = arrays[name] if "start" in name else arrays[name].T  # [outputs, inputs] here
        w.copy_(torch.tensor(array))"""


OF_SERIES = '''\
@torch.no_grad()
def measured(x, y):
    """Loss and mean squared error on these series as they are now."""
    z = model(x)
    return losses(y, z).mean().item(), ((z - y) ** 2).mean().item()'''
