"""Which arrays of a file are the logits and the labels."""

from collections.abc import Collection, Mapping

import numpy as np

from core.study.compare.recording import Array, Unusable

LOGITS = (
    "logits", "logit", "outputs", "output", "z", "scores", "preds", "predictions", "y_pred",
    "y_hat", "probs", "probabilities",
)  # fmt: skip
LABELS = ("labels", "label", "y", "y_true", "targets", "target")
_UNNAMED = ("arr_0", "arr_1")  # what np.savez(file, logits, labels) calls them
_STEP = "step/0/"  # of a recording


def find(found: Mapping[str, Array]) -> tuple[str, str]:
    """Return the names of the logits and of the labels.

    A name counts by what is behind its last slash or point. Of a recording (docs/recordings.md)
    they are the first step's.

    Raises:
      Unusable: none has such a name, or several have; the message lists what the file holds.
    """
    if {f"{_STEP}outputs", f"{_STEP}labels"} <= {*found}:
        return f"{_STEP}outputs", f"{_STEP}labels"
    if {*found} == {*_UNNAMED}:
        return _UNNAMED
    return _the(found, LOGITS, "logits"), _the(found, LABELS, "labels")


def _the(found: Mapping[str, Array], names: Collection[str], what: str) -> str:
    those = [name for name in found if _last(name) in names]
    if len(those) == 1:
        return those[0]
    if not those:
        held = f"It holds {listed(found)}." if found else "It holds no array of numbers."
        raise Unusable(f"No array in the file is called {what}. {held}")
    several = {name: found[name] for name in those}
    raise Unusable(f"Several arrays may be the {what}: {listed(several)}. Leave one.")


def _last(name: str) -> str:
    return name.replace(".", "/").rpartition("/")[2].strip().casefold()


def listed(found: Mapping[str, Array]) -> str:
    """Return the names and shapes of some arrays, five at most."""
    texts = [f"{ascii(name)[:40]} {shape(array)}" for name, array in found.items()]
    more = f" and {len(texts) - 5} more" if len(texts) > 5 else ""
    return ", ".join(texts[:5]) + more


def shape(array: Array) -> str:
    """Return an array's shape as a text, short whatever it is."""
    return str(tuple(np.shape(array)))[:60]
