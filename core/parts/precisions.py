"""PRECISIONS: which number formats a run computes in.

The formats themselves are the rows of DTYPES. A run in one format keeps everything in it: weights,
activations, loss, gradients and updates. A mixed run keeps weights, updates and the optimizer's
state in float32, rounds the weights to 16 bits for the forward and the backward pass, and computes
the loss from 16-bit logits in float32, as torch.autocast and Keras's mixed policies do.

As measured on JAX 0.10.2, CPU, a matrix product of 16-bit numbers is summed in float32 and rounded
once, like NumPy's float16 product (tests/compiled/test_precisions.py compares a forward pass with
it). Initial weights are drawn in float32 and then rounded, so that every format starts from the
same numbers.
"""

from dataclasses import dataclass, replace

from core.parts.dtypes import DTYPES, Dtype
from core.registry import Registry, Row


@dataclass(frozen=True, kw_only=True)
class Precision(Row):
    """The formats of a run."""

    weights: Dtype  # for the weights, their updates and the optimizer's state
    compute: Dtype  # for the forward and the backward pass
    loss: Dtype  # for the loss and its derivative with respect to the logits
    scaled: bool = False  # whether the loss is scaled, see core.parts.loss_scale

    @property
    def narrow(self) -> bool:
        """Whether the passes use fewer bits than float32."""
        return self.compute.dtype.itemsize < DTYPES["float32"].dtype.itemsize

    @property
    def wide(self) -> bool:
        """Whether the run needs JAX's 64-bit mode."""
        return self.weights.dtype.itemsize > DTYPES["float32"].dtype.itemsize


def _pure(dtype: Dtype) -> Precision:
    """Everything in one format."""
    return Precision(
        key=dtype.key,
        label=dtype.label,
        latex=dtype.latex,
        summary=f"Weights, activations, loss and updates: {dtype.summary}",
        reference=dtype.reference,
        weights=dtype,
        compute=dtype,
        loss=dtype,
    )


def _mixed(dtype: Dtype, rest: str, reference: str) -> Precision:
    """Weights and loss in float32, the passes between them in 16 bits."""
    master = DTYPES["float32"]
    return Precision(
        key=f"mixed_{dtype.key}",
        label=f"mixed {dtype.label}",
        summary=f"Weights and loss in {master.label}, the passes between them in {dtype.label}"
        f"{rest}.",
        reference=f"{reference}; Micikevicius et al., 2018",
        weights=master,
        compute=dtype,
        loss=master,
    )


_FRAMEWORKS = "torch.autocast, PyTorch 2.13, and the mixed dtype policies of Keras 3.15"

PRECISIONS: Registry[Precision] = Registry(
    "precision",
    [
        _pure(DTYPES["float32"]),
        _pure(DTYPES["float16"]),
        _pure(DTYPES["bfloat16"]),
        replace(
            _mixed(
                DTYPES["float16"],
                ", the loss scaled so that small gradients do not vanish",
                f"{_FRAMEWORKS}, with torch.amp.GradScaler's loss scale",
            ),
            scaled=True,
        ),
        _mixed(DTYPES["bfloat16"], "", _FRAMEWORKS),
        _pure(DTYPES["float64"]),
    ],
)
