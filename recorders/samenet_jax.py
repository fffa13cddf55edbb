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
        self.path, self.steps, self.room, self.k = path, steps, budget * 15 // 16, 0
        self.tensors, self.sampled, self.blocks, self.done = {}, {}, False, False
        told = "enable_x64", "default_matmul_precision", "default_prng_impl"
        self.settings = {name: getattr(jax.config, f"jax_{name}") for name in told} | settings
        self.metadata = {"framework": "jax", "version": jax.__version__}
        self.metadata["backend"] = jax.default_backend()
        atexit.register(self.close)  # in case the loop takes fewer steps

    def before(self, params, **arrays):
        """Keep what the step starts from: `state`, `inputs`, `labels`, `weights`, `masks`."""
        if not self.done:
            self.begun = flat({"params": params, **arrays})
            formats = {str(getattr(leaf, "dtype", "")) for leaf in jax.tree.leaves(params)}
            self.settings["formats"] = sorted(formats)

    def after(self, params, **arrays):
        """Keep what it gave: its new parameters, `grads`, `outputs`, `loss`, `outputs_grad`."""
        if not self.done:
            self.add(self.begun | flat(arrays))
            self.begun = flat({"params": params})
            if self.k == self.steps:
                self.close()

    def close(self):
        """Write the file now, after fewer steps than asked for."""
        if self.k and not self.done:
            after = {name: a for name, a in self.begun.items() if name.startswith("params/")}
            self.keep(f"step/{self.k}/", after)
            self.write()
            self.done = True

    # What follows is the same in all recorders, but for flat().
    def add(self, arrays):
        """Keep a step; it is the last if another, and the parameters after it, may not fit."""
        room = self.room
        self.keep(f"step/{self.k}/", arrays, self.steps + 1 if self.k == 0 else 1)
        self.k += 1
        if self.room < 2 * (room - self.room):
            self.steps = self.k

    def evaluation(self, inputs=None, labels=None, outputs=None, **metrics):
        """Keep a batch in evaluation mode, and what is reported of it."""
        batch = {"inputs": inputs, "labels": labels, "outputs": outputs, "metrics": metrics}
        self.keep("eval/", flat(batch))
        self.write()

    def keep(self, where, arrays, times=1):
        """Keep arrays; of large ones blocks, as soon as so many times as much does not fit."""
        size = times * sum(array.nbytes + 900 for array in arrays.values())
        if size > self.room and not self.blocks:
            self.blocks = True
            print(f"samenet: {size / 1e6:.1f} MB are too much; of large tensors a block is kept")
        for name, array in arrays.items():
            if self.blocks and array.size > 4096 and max(array.shape) > 64:
                self.sampled[where + name], array = about(array), block(array, 64)
            if array.nbytes + 900 > self.room:
                print(f"samenet: there is no room for {where + name}")
                continue
            self.room -= array.nbytes + 900
            self.tensors[where + name] = np.array(array, order="C")

    def write(self):
        """Write the file, or write it once more with what was kept since."""
        told = {"steps": self.k, "settings": self.settings, "sampled": self.sampled}
        told = {name: json.dumps(each, default=str) for name, each in told.items()}
        save_file(self.tensors, self.path, {"samenet_recording": "1", **self.metadata, **told})


def block(array, most):
    """Return `most` indices of each longer axis, chosen by its length alone."""
    for axis, n in enumerate(array.shape):
        if n > most:
            array = array.take(np.sort(np.random.default_rng(n).permutation(n)[:most]), axis)
    return array


def about(array):
    """Describe the whole of which a block is kept."""
    digest, numbers = hashlib.sha256(np.ascontiguousarray(array)).hexdigest(), array.ravel()
    norm = float(np.einsum("i,i", numbers, numbers, dtype=float)) ** 0.5
    middle = np.quantile(block(array, 256).astype(float), [0.05, 0.25, 0.5, 0.75, 0.95])
    quantiles = [float(q) for q in (array.min(), *middle, array.max())]
    return {"shape": array.shape, "sha256": digest, "norm": norm, "quantiles": quantiles}


def flat(tree):
    """Return the arrays in a tree by their paths; other leaves are left out."""
    found = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if isinstance(leaf, jax.core.Tracer):
            raise TypeError("Call the recorder outside jax.jit and jax.grad: inside are no numbers")
        if isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        array = np.array(leaf)  # a copy: the step may donate it
        if array.dtype.isbuiltin == 2:  # NumPy has no bfloat16
            array = array.astype(np.float32)
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        name += "/array" * (name in ("params", "grads", "state", "masks"))  # not a tree
        if name.startswith("params/") and array.dtype.kind in "biu":
            name = name.replace("params", "state", 1)  # not trained
        while name in found:
            name += "'"
        if array.dtype.kind in "biuf":
            found[name] = array
    return found
