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
        self.path, self.steps, self.k, self.last, self.done = path, steps, 0, False, False
        self.room, self.spare, self.limit = budget * 7 // 8, budget // 16, float("inf")
        self.tensors, self.sampled = {}, {}
        self.settings, self.step, self.spied = settings, {}, []
        self.metadata = {"framework": "keras", "version": keras.__version__, "backend": BACKEND}

    def on_train_begin(self, logs=None):
        """Write down the settings, and look into `compute_loss` and the optimizer."""
        model, optimizer = self.model, self.model.optimizer
        if model.steps_per_execution > 1:
            print("samenet: nothing is recorded, because steps_per_execution is not 1.")
            self.done = True
        if self.done:
            return
        layers = [{"class": type(each).__name__, "config": config(each)} for each in model.layers]
        self.settings |= {
            "optimizer": {"class": type(optimizer).__name__, **optimizer.get_config()},
            "loss": {"class": type(model.loss).__name__, "config": config(model.loss)},
            "dtype_policy": model.dtype_policy.name, "layers": layers, "learning_rates": [],
        }  # fmt: skip
        if not model.run_eagerly and (model.jit_compile or BACKEND == "tensorflow"):
            print("samenet: this fit is compiled, so only parameters and state can be recorded.")
            print("compile(run_eagerly=True) shows batches, outputs, losses and gradients, too.")
            return
        method = "stateless_apply" if BACKEND == "jax" else "apply"
        compute_loss, apply = model.compute_loss, getattr(optimizer, method)

        def spied_loss(*args, **kwargs):
            loss = compute_loss(*args, **kwargs)
            seen = dict(zip(("x", "y", "y_pred", "sample_weight"), args, strict=False)) | kwargs
            names = {"x": "inputs", "y": "labels", "y_pred": "outputs", "sample_weight": "weights"}
            if seen.get("training", True):
                self.see({"loss": loss} | {names[k]: v for k, v in seen.items() if k in names})
            return loss

        def spied_apply(*args, **kwargs):
            if BACKEND == "jax":
                jax.effects_barrier()  # see() has seen the batch
            grads = args[1 if BACKEND == "jax" else 0]
            if self.scale != 1:
                grads = [None if each is None else each / self.scale for each in grads]
            grads = dict(zip(names(model.trainable_variables), grads, strict=True))
            seen = {"grads": grads, "outputs_grad": getattr(self.outputs, "grad", None)}
            if self.unbuilt:  # TensorFlow builds a model within its first step
                seen["params"] = self.variables()["params"]
            self.step |= flat(seen)
            return apply(*args, **kwargs)

        model.compute_loss = spied_loss
        setattr(optimizer, method, spied_apply)
        self.spied = [(model, "compute_loss"), (optimizer, method)]

    def see(self, batch):
        """Keep what the loss was computed from; JAX shows it only to a callback."""
        if BACKEND == "jax":
            jax.debug.callback(lambda batch: self.step.update(flat(batch)), batch)
        else:
            self.step |= flat(batch)
            self.outputs = batch["outputs"]
            if BACKEND == "torch" and getattr(self.outputs, "requires_grad", False):
                self.outputs.retain_grad()

    def on_train_batch_begin(self, batch, logs=None):
        """Keep what the step starts from."""
        if not self.done:
            rate = keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
            self.settings["learning_rates"].append(rate.item())
            self.unbuilt, self.outputs = not self.model.built, None
            self.step = flat(self.variables())
            optimizer = self.model.optimizer  # it may scale the loss, and so its gradients
            scale = getattr(optimizer, "dynamic_scale", optimizer.loss_scale_factor)
            self.scale = 1 if scale is None else float(keras.ops.convert_to_numpy(scale))

    def on_train_batch_end(self, batch, logs=None):
        """Keep the step."""
        if not self.done:
            self.add(self.step)
            if self.last:
                self.on_train_end()

    def on_train_end(self, logs=None):
        """Keep the parameters after the last step, and write the file."""
        if self.k and not self.done:
            self.keep(f"step/{self.k}/", flat({"params": self.variables()["params"]}))
            self.write()
        while self.spied:
            delattr(*self.spied.pop())

    def variables(self):
        """Return what is trained, and what is not."""
        if BACKEND == "jax":
            self.model.jax_state_sync()
        groups = {
            "params": self.model.trainable_variables,
            "state": self.model.non_trainable_variables,
        }
        return {key: dict(zip(names(each), each, strict=True)) for key, each in groups.items()}

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


def names(variables):
    """Return the paths of variables; those of the same path get a number."""
    paths = [each.path for each in variables]
    return [p if paths.count(p) == 1 else f"{p}/{i}" for i, p in enumerate(paths)]


def config(thing):
    """Return what a layer or a loss says of itself."""
    try:
        return thing.get_config()
    except (AttributeError, NotImplementedError):
        return str(thing)


def flat(tree):
    """Return the arrays in nested dicts and sequences by their paths."""
    found = {}
    for path, leaf in keras.tree.flatten_with_path(tree):
        array = None if leaf is None else keras.ops.convert_to_numpy(leaf)
        if array is not None and array.dtype.kind not in "OSU":
            known = array.dtype.isbuiltin == 1  # bfloat16 is not
            array = np.array(array, array.dtype if known else np.float32, order="C")
            found["/".join(map(str, path))] = array
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
