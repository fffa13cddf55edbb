"""What the rows of the atlas share: libraries that several frameworks use.

Code in `write` may use what its framework's programs have at that place: `model` (PyTorch),
`params`, `gradients`, `key` (JAX), `labels`, `one_hot`, `logits`, `probabilities`, `x`, `schedule`
(the learning rate, as that framework writes one). It assigns what it makes: `optimizer`, `layer`,
`loss`, `y` (of x), `weights`, `biases`, `gradients`, `batches`.
"""

from collections.abc import Mapping
from typing import NamedTuple

from core.study.atlas.piece import Default

# Uniform between -1/sqrt(inputs) and 1/sqrt(inputs), which JAX has for no biases.
JAX_UNIFORM = """\
def uniform(key, shape, dtype=jnp.float32):
    bound = {inputs}**-0.5
    return jax.random.uniform(key, shape, dtype, -bound, bound)
"""


def optax(code: str) -> dict[str, str]:
    """Return the code for both frameworks that use optax."""
    return {"flax": code, "equinox": code}


def optax_does(value: str, source: str, note: str = "") -> dict[str, Default]:
    """Return the default of both frameworks that use optax."""
    default = Default(value=value, source=f"optax/{source}", note=note)
    return {"flax": default, "equinox": default}


class Family(NamedTuple):
    """What one optimizer is called in each framework; "" if it is not there."""

    keras: str
    torch: str
    optax: str
    stax: str = ""
    tf1: str = ""


def made_by(
    family: Family,
    rate: float | str,
    *,
    instead: Mapping[str, str] | None = None,
    **arguments: str,
) -> dict[str, str]:
    """Return the code that makes an optimizer, by framework.

    `arguments` are those after the learning rate, for each library that can do it in one line;
    `instead` is the code where it takes another line than that.
    """
    begins = {
        "keras": f"keras.optimizers.{family.keras}(learning_rate={rate}",
        "torch": f"torch.optim.{family.torch}(model.parameters(), lr={rate}",
        "optax": f"optax.{family.optax}({rate}",
        "stax": f"optimizers.{family.stax}({rate}",
        "tf1": f"tf.compat.v1.train.{family.tf1}({rate}",
    }
    code = {
        library: f"optimizer = {', '.join(filter(None, [begins[library], more]))})"
        for library, more in arguments.items()
    } | dict(instead or {})
    shared = code.pop("optax", None)
    return code if shared is None else {**code, **optax(shared)}
