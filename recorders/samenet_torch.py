"""Records the first steps of a PyTorch loop for Samenet. Copy this file into your project."""

import atexit
import hashlib
import json

import numpy as np
import torch
from safetensors.numpy import save_file


class Recorder:
    """Takes two lines: `recorder.before(x, y, outputs, loss)` and, after the step, `.after()`."""

    def __init__(self, path, model, optimizer, loss=None, steps=5, budget=64_000_000, **settings):
        self.path, self.steps, self.room, self.k = path, steps, budget * 15 // 16, 0
        self.tensors, self.sampled, self.blocks, self.done = {}, {}, False, False
        self.model, self.optimizer, self.state = model, optimizer, {}
        told = {k: v for k, v in getattr(loss, "__dict__", {}).items() if k[0] != "_"}
        self.settings = {
            "optimizer": str(optimizer), "loss": getattr(loss, "__name__", str(loss)), **told,
            "layers": str(model), "formats": sorted({str(p.dtype) for p in model.parameters()}),
            "training": model.training, "seed": torch.initial_seed(), "learning_rates": [],
        } | settings  # fmt: skip
        device = next(model.parameters()).device.type
        self.metadata = {"framework": "torch", "version": torch.__version__, "backend": device}
        self.hooks = [model.register_forward_pre_hook(self.start)]
        self.hooks += [model.register_forward_hook(self.retain)]
        atexit.register(self.close)  # in case the loop takes fewer steps

    def start(self, *_):
        """Keep what is not trained, before the first of a step's forward passes changes it."""
        trained = self.trained()
        fixed = {n: v.clone() for n, v in self.model.state_dict().items() if n not in trained}
        self.state = self.state or fixed

    def retain(self, model, inputs, outputs):
        """Have the outputs keep their gradient."""
        if getattr(outputs, "requires_grad", False):
            outputs.retain_grad()

    def before(self, inputs=None, labels=None, outputs=None, loss=None, **more):
        """Keep what a step is made of, just before `optimizer.step()`; also `weights`, `masks`."""
        if self.done:
            return
        self.start()  # if the model was not called
        seen = {"inputs": inputs, "labels": labels, "outputs": outputs, "loss": loss, **more}
        seen |= {"state": self.state, "params": self.trained()}
        seen["grads"] = {name: p.grad for name, p in self.model.named_parameters()}
        seen["outputs_grad"] = outputs.grad if getattr(outputs, "retains_grad", False) else None
        self.settings["learning_rates"].append([g["lr"] for g in self.optimizer.param_groups])
        self.add(flat(seen))
        self.state = {}

    def after(self):
        """Keep the new parameters after the last step."""
        if self.k == self.steps:
            self.close()

    def close(self):
        """Write the file now, after fewer steps than asked for."""
        if self.k and not self.done:
            self.keep(f"step/{self.k}/", flat({"params": self.trained()}))
            self.write()
            self.done = True
            for hook in self.hooks:
                hook.remove()

    def trained(self):
        """Return the parameters that are trained."""
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}

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


def flat(tree, name=""):
    """Return the arrays in nested dicts and sequences by their paths."""
    if isinstance(tree, (dict, list, tuple)):
        pairs = tree.items() if isinstance(tree, dict) else enumerate(tree)
        parts = [flat(each, f"{name}/{key}".lstrip("/")) for key, each in pairs]
        return {key: array for part in parts for key, array in part.items()}
    if isinstance(tree, torch.Tensor):
        tree = tree.detach().cpu()
        tree = tree.to_dense() if tree.is_sparse else tree
        tree = (tree if hasattr(np, str(tree.dtype)[6:]) else tree.float()).numpy()
    array = np.asarray(tree)
    return {name: array} if array.dtype.kind in "biuf" else {}
