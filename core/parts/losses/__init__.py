"""Every loss as one framework or one author computes it.

On paper all cross-entropies are the same function. With p = sigmoid(z), a logit z and a label y,

    binary:   L(z, y) = -y log p - (1 - y) log(1 - p)      dL/dz   = p - y
    softmax:  L(z, y) = log sum_j exp(z_j) - z_y           dL/dz_j = softmax(z)_j - [j = y]

but they differ in what they do with a p that rounds to 0 or 1. Logits have no unit; losses are in
nats. Every function is per example and unreduced, computes in the dtype of the logits unless its
framework computes in another, and takes

    binary:   logits [...],           labels 0/1 [...], epsilon scalar -> loss [...]
    softmax:  logits [..., classes],  labels [...],     epsilon scalar -> loss [...]

Squared errors take predictions instead of logits and targets instead of labels, and have the
squared unit of what is predicted:

    regression:  predictions [..., time],  targets [..., time],  epsilon scalar -> loss [...]

Sources: the code of Keras 3.15, TensorFlow 2.21, PyTorch 2.13, JAX 0.10.2, optax 0.2.8,
Theano 0.8.2 with Lasagne 0.1, and the question "JAX vs Keras" with its two functions.
"""

from core.parts.losses.apply import loss_and_grad, with_grad
from core.parts.losses.formula import FormulaError, Tree
from core.parts.losses.own import FIRST, OWN, fault
from core.parts.losses.row import WORKS_ON, Form, Loss, LossFunction, WorksOn
from core.parts.losses.source import marked, source
from core.parts.losses.table import LOSSES, losses_for

__all__ = [
    "FIRST",
    "LOSSES",
    "OWN",
    "WORKS_ON",
    "Form",
    "FormulaError",
    "Loss",
    "LossFunction",
    "Tree",
    "WorksOn",
    "fault",
    "loss_and_grad",
    "losses_for",
    "marked",
    "source",
    "with_grad",
]
