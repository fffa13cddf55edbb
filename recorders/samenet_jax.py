"""Records the first steps of a JAX loop for Samenet. Copy this file into your project."""

import atexit
import hashlib
import json

import jax
import numpy as np
from safetensors.numpy import save_file


class Recorder:
    """Takes a line before the step function is called and one after it, outside `jax.jit`.

    `recorder.before(params, inputs=x, labels=y)`, and `recorder.after(params, grads=grads, ...)`.
    """

    def __init__(self, path, steps=5, budget=64_000_000, **settings):
        self.path, self.steps, self.k, self.last, self.done = path, steps, 0, False, False
        self.room, self.spare, self.limit = budget * 7 // 8, budget // 16, float("inf")
        self.tensors, self.sampled = {}, {}
        names = (
            "enable_x64",
            "default_matmul_precision",
            "default_prng_impl",
            "threefry_partitionable",
        )
        self.settings = {name: getattr(jax.config, f"jax_{name}") for name in names} | settings
        self.metadata = {"framework": "jax", "version": jax.__version__}
        self.metadata["backend"] = jax.default_backend()
        self.begun = {}
        atexit.register(self.close)  # in case the loop takes fewer steps

    def before(self, params, **arrays):
        """Keep what the step starts from: `state`, `inputs`, `labels`, `weights`, `masks`."""
        if not self.done:
            self.begun = flat({"params": params, **arrays})
            types = {str(leaf.dtype) for leaf in jax.tree.leaves(params) if hasattr(leaf, "dtype")}
            self.settings["formats"] = sorted(types)

    def after(self, params, **arrays):
        """Keep what it gave: its new parameters, `grads`, `outputs`, `loss`, `outputs_grad`."""
        if not self.done:
            self.add(self.begun | flat(arrays))
            self.begun = flat({"params": params})
            if self.last:
                self.close()

    def close(self):
        """Write the file now, after fewer steps than asked for."""
        if self.k and not self.done:
            self.keep(
                f"step/{self.k}/", {n: a for n, a in self.begun.items() if n[:7] == "params/"}
            )
            self.write()

    # These methods, and about() and block(), are the same in all recorders.
    def add(self, arrays):
        """Keep a step; it is the last if another, and the parameters after it, may not fit."""
        sizes = {name: array.nbytes + 900 for name, array in arrays.items()}
        after = sum(size for name, size in sizes.items() if name.startswith("params/"))
        room, total = self.room, self.steps * sum(sizes.values()) + after
        if self.k == 0 and total > room:
            self.limit = 4096
            need = f"{self.steps} steps would take {total / 1e6:.1f} MB"
            print(f"samenet: {need}; of large tensors only a block is kept")
        self.keep(f"step/{self.k}/", arrays)
        self.k += 1
        self.last = self.k == self.steps or self.room < 2 * (room - self.room)

    def keep(self, where, arrays):
        """Keep arrays, or blocks of them, as long as there is room."""
        for name, array in arrays.items():
            if array.size > self.limit and max(array.shape) > 64:
                self.sampled[where + name], array = about(array), block(array, 64)
            if array.nbytes + 900 > self.room:
                print(f"samenet: there is no room for {where + name}")
                continue
            self.room -= array.nbytes + 900
            self.tensors[where + name] = np.array(array, order="C")

    def evaluation(self, inputs=None, labels=None, outputs=None, **metrics):
        """Keep a batch in evaluation mode, and what is reported of it."""
        batch = {"inputs": inputs, "labels": labels, "outputs": outputs, "metrics": metrics}
        arrays = flat(batch)
        if sum(array.nbytes + 900 for array in arrays.values()) > self.room:
            self.limit = 4096
        self.keep("eval/", arrays)
        if self.done:
            self.write()

    def write(self):
        """Write the file; then nothing more is recorded, except an evaluation."""
        told = {"settings": json.dumps(self.settings, default=str), "steps": str(self.k)}
        told |= {"samenet_recording": "1", "sampled": json.dumps(self.sampled), **self.metadata}
        save_file(self.tensors, self.path, told)
        self.done, self.room = True, self.spare


def flat(tree):
    """Return the arrays in a tree by their paths; other leaves are left out."""
    found = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if isinstance(leaf, jax.core.Tracer):
            raise TypeError(
                "Call the recorder outside jax.jit and jax.grad: there are no numbers inside."
            )
        if isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        name += "/array" * (name in ("params", "grads", "state", "masks"))  # not a tree
        array = (
            np.asarray(leaf) if hasattr(leaf, "dtype") or np.isscalar(leaf) else np.asarray(None)
        )
        if array.dtype.isbuiltin and array.dtype.kind in "biufcV":
            if name[:7] == "params/" and array.dtype.kind in "biu":
                name = "state/" + name[7:]  # not trained
            while name in found:
                name += "'"
            known = array.dtype.isbuiltin == 1  # bfloat16 is not
            found[name] = np.array(array, array.dtype if known else np.float32, order="C")
    return found


def about(array):
    """Describe the whole of which a block is kept."""
    told = {"shape": array.shape, "sha256": hashlib.sha256(np.ascontiguousarray(array)).hexdigest()}
    array = np.abs(array) if array.dtype.kind == "c" else array
    pieces = np.array_split(array.ravel(), 1 + array.size // 2**16)
    told["norm"] = sum(float(np.square(piece, dtype=float).sum()) for piece in pieces) ** 0.5
    middle = np.quantile(block(array, 256).astype(float), [0.05, 0.25, 0.5, 0.75, 0.95])
    return told | {"quantiles": [float(array.min()), *middle.tolist(), float(array.max())]}


def block(array, most):
    """Keep `most` indices of each longer axis, chosen by its length alone."""
    for axis, n in enumerate(array.shape):
        if n > most:
            array = array.take(np.sort(np.random.default_rng(n).permutation(n)[:most]), axis)
    return array
