"""Records the first steps of Keras' `fit` for Samenet. Copy this file into your project."""

import hashlib
import json

import keras
import numpy as np
from safetensors.numpy import save_file

BACKEND = keras.backend.backend()
if BACKEND == "jax":
    import jax


class Recorder(keras.callbacks.Callback):
    """A callback of `fit`; `compile(run_eagerly=True)` shows it the batch, gradients and loss."""

    def __init__(self, path, steps=5, budget=64_000_000, **settings):
        super().__init__()
        self.path, self.steps, self.room, self.k = path, steps, budget * 15 // 16, 0
        self.tensors, self.sampled, self.blocks, self.done = {}, {}, False, False
        self.settings, self.spied = settings, []
        self.metadata = {"framework": "keras", "version": keras.__version__, "backend": BACKEND}

    def on_train_begin(self, logs=None):
        """Write down the settings, and see whether there is more than parameters to record."""
        model = self.model
        told = {"optimizer": described(model.optimizer), "loss": described(model.loss)}
        told |= {"layers": [described(layer) for layer in model.layers], "learning_rates": []}
        self.settings |= {**told, "dtype_policy": model.dtype_policy.name}
        if model.steps_per_execution > 1:
            print("samenet: nothing is recorded, because steps_per_execution is not 1.")
            self.done = True
        elif not model.run_eagerly and (model.jit_compile or BACKEND == "tensorflow"):
            print("samenet: this fit is compiled, so only parameters and state can be recorded.")
            print("compile(run_eagerly=True) shows batches, outputs, losses and gradients, too.")
        elif not self.done:
            self.spy(model, model.optimizer, "stateless_apply" if BACKEND == "jax" else "apply")

    def spy(self, model, optimizer, method):
        """Have `compute_loss` and the optimizer show what they are given."""
        compute_loss, apply = model.compute_loss, getattr(optimizer, method)

        def spied_loss(x, y, y_pred, sample_weight=None, **how):
            loss = compute_loss(x, y, y_pred, sample_weight, **how)
            seen = {"inputs": x, "labels": y, "outputs": y_pred, "loss": loss}
            seen["weights"] = sample_weight
            if how.get("training", True) and BACKEND == "jax":  # these are tracers
                jax.debug.callback(lambda seen: self.step.update(flat(seen)), seen)
            elif how.get("training", True):
                self.step |= flat(seen)
                self.outputs = y_pred
                if hasattr(y_pred, "retain_grad"):
                    y_pred.retain_grad()
            return loss

        def spied_apply(*args, **kwargs):
            if BACKEND == "jax":
                jax.effects_barrier()  # until the batch is seen
            grads = args[1 if BACKEND == "jax" else 0]
            grads = flat({"grads": dict(zip(named(model.trainable_variables), grads, strict=True))})
            self.step |= {name: grad / self.scale for name, grad in grads.items()}
            self.step |= flat({"outputs_grad": getattr(self.outputs, "grad", None)})
            if not self.built:  # TensorFlow builds a model within its first step
                self.step |= flat({"params": self.trained()})
            return apply(*args, **kwargs)

        model.compute_loss = spied_loss
        setattr(optimizer, method, spied_apply)
        self.spied = [(model, "compute_loss"), (optimizer, method)]

    def on_train_batch_begin(self, batch, logs=None):
        """Keep what the step starts from."""
        if not self.done:
            params, state = self.trained(), named(self.model.non_trainable_variables)
            self.step = flat({"params": params, "state": state})
            self.outputs, self.built, optimizer = None, self.model.built, self.model.optimizer
            rate = keras.ops.convert_to_numpy(optimizer.learning_rate)
            self.settings["learning_rates"].append(rate.item())
            scale = getattr(optimizer, "dynamic_scale", optimizer.loss_scale_factor)
            self.scale = 1.0 if scale is None else float(keras.ops.convert_to_numpy(scale))

    def on_train_batch_end(self, batch, logs=None):
        """Keep the step."""
        if not self.done:
            self.add(self.step)
            if self.k == self.steps:
                self.on_train_end()

    def on_train_end(self, logs=None):
        """Keep the parameters after the last step, and write the file."""
        if self.k and not self.done:
            self.keep(f"step/{self.k}/", flat({"params": self.trained()}))
            self.write()
            self.done = True
        while self.spied:
            delattr(*self.spied.pop())

    def trained(self):
        """Return the parameters that are trained."""
        if BACKEND == "jax":
            self.model.jax_state_sync()
        return named(self.model.trainable_variables)

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
    """Return the arrays in nested dicts and sequences by their paths."""
    found = {}
    for path, leaf in keras.tree.flatten_with_path(tree):
        array = np.asarray(None if leaf is None else keras.ops.convert_to_numpy(leaf))
        if array.dtype.isbuiltin == 2:  # NumPy has no bfloat16
            array = array.astype(np.float32)
        if array.dtype.kind in "biuf":
            found["/".join(map(str, path))] = array.copy()
    return found


def named(variables):
    """Return variables by their paths; those of the same path get a number."""
    paths = [each.path for each in variables]
    names = [p if paths.count(p) == 1 else f"{p}/{i}" for i, p in enumerate(paths)]
    return dict(zip(names, variables, strict=True))


def described(thing):
    """Return the class of an optimizer, a loss or a layer, and what it says of itself."""
    try:
        return {"class": type(thing).__name__, **thing.get_config()}
    except (AttributeError, NotImplementedError):
        return {"class": str(thing)}
