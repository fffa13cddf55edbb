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
        self.path, self.steps, self.k, self.last, self.done = path, steps, 0, False, False
        self.room, self.spare, self.limit = budget * 7 // 8, budget // 16, float("inf")
        self.tensors, self.sampled = {}, {}
        names = {p: name for name, p in model.named_parameters()}
        own = [g | {"params": [names.get(p) for p in g["params"]]} for g in optimizer.param_groups]
        told = {k: v for k, v in getattr(loss, "__dict__", {}).items() if k[0] != "_"}
        self.settings = settings | {
            "optimizer": {"class": type(optimizer).__name__, "param_groups": own},
            "loss": {"class": getattr(loss, "__name__", type(loss).__name__)} | told,
            "layers": {name: str(m) for name, m in model.named_modules() if not [*m.children()]},
            "formats": sorted({str(p.dtype) for p in names}), "seed": torch.initial_seed(),
            "training": model.training, "learning_rates": [],
        }  # fmt: skip
        self.metadata = {"framework": "torch", "version": torch.__version__}
        self.metadata["backend"] = next(iter(names)).device.type
        self.model, self.optimizer, self.state = model, optimizer, {}
        self.hook = model.register_forward_hook(
            lambda _, __, out: out.retain_grad() if getattr(out, "requires_grad", False) else None
        )
        self.begin = model.register_forward_pre_hook(lambda _, __: self.start())
        atexit.register(self.after, True)  # in case the loop takes fewer steps

    def before(self, inputs=None, labels=None, outputs=None, loss=None, weights=None, masks=None):
        """Keep all but the new parameters, just before `optimizer.step()`."""
        if self.done:
            return
        batch = {"inputs": inputs, "labels": labels, "weights": weights, "masks": masks}
        seen = {"outputs": outputs, "loss": loss}
        if getattr(outputs, "retains_grad", False):
            seen["outputs_grad"] = outputs.grad
        grads = {name: p.grad for name, p in self.model.named_parameters()}
        self.settings["learning_rates"].append([g["lr"] for g in self.optimizer.param_groups])
        self.start()  # if the model was not called
        self.add(self.state | flat(batch | seen | self.params() | {"grads": grads}))
        self.state = {}

    def start(self):
        """Keep what is not trained, before the first of a step's forward passes changes it."""
        fixed = {name: p for name, p in self.model.named_parameters() if not p.requires_grad}
        state = flat({"state": fixed | dict(self.model.named_buffers())})
        self.state = self.state or {name: array.copy() for name, array in state.items()}

    def params(self):
        """Return what is trained."""
        named = self.model.named_parameters()
        return {"params": {name: p for name, p in named if p.requires_grad}}

    def after(self, end=False):
        """Keep the new parameters after the last step, and write the file."""
        if (self.last or (end and self.k)) and not self.done:
            self.begin.remove()
            self.hook.remove()
            self.keep(f"step/{self.k}/", flat(self.params()))
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


def flat(value, name=""):
    """Return the arrays in nested dicts and sequences by their paths."""
    if isinstance(value, (dict, list, tuple)):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        parts = [flat(each, f"{name}/{key}" if name else key) for key, each in pairs]
        return {key: array for part in parts for key, array in part.items()}
    if isinstance(value, torch.Tensor):
        value = value.detach().resolve_conj().cpu()
        value = value.to_dense() if value.is_sparse else value
        value = (value if hasattr(np, str(value.dtype)[6:]) else value.float()).numpy()
    return {} if value is None else {name: np.asarray(value)}


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
