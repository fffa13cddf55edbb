"""What to record so that a stage can be compared, in words for each framework."""

from collections.abc import Mapping

from core.study.compare.recording import Recording
from core.study.compare.stages import Both

_EAGER = "model.compile(..., run_eagerly=True)"
# stage -> the kinds of which one side has none, and what records them: code, or a sentence behind
# a "#"; "" is any framework.
_TOLD: dict[str, tuple[tuple[str, ...], Mapping[str, str]]] = {
    "initial weights": (("params",), {}),
    "batch": (("inputs", "labels"), {
        "torch": "recorder.before(x, y, ...)", "jax": "recorder.before(params, inputs=x, labels=y)",
        "keras": _EAGER}),
    "outputs": (("outputs",), {
        "torch": "recorder.before(x, y, outputs, ...)", "keras": _EAGER,
        "jax": "recorder.after(params, outputs=outputs, ...)"}),
    "loss": (("loss",), {
        "torch": "recorder.before(x, y, outputs, loss)", "keras": _EAGER,
        "jax": "recorder.after(params, loss=loss, ...)"}),
    "gradient of the outputs": (("outputs_grad",), {
        "torch": "recorder.before(x, y, outputs, loss)  # with the outputs that model(x) returned",
        "jax": "recorder.after(params, outputs_grad=jax.grad(loss_of)(outputs, y), ...)",
        "keras": "# Keras shows it with PyTorch as its backend only."}),
    "gradients": (("grads",), {
        "torch": "recorder.before(...)  # after loss.backward()",
        "jax": "recorder.after(params, grads=grads, ...)",
        "keras": _EAGER}),
    "update": (("params",), {"": "# Call the recorder after the step, too."}),
    "state": (("state",), {
        "jax": "recorder.before(params, state=state, ...)",
        "": "# The recorder finds it; a network without running means or the like has none."}),
    "evaluation": (("evaluation",), {"": "recorder.evaluation(x, y, outputs, accuracy=...)"}),
}  # fmt: skip


def hints(both: Both, stage: str) -> tuple[str, ...]:
    """Return, for each side that lacks it, what records a stage."""
    kinds, code = _TOLD[stage]
    lacking: dict[str, list[str]] = {}
    for side, recording in (("a", both.a), ("b", both.b)):
        kind = next((kind for kind in kinds if not _has(recording, kind)), "")
        if kind:
            known = next((f for f in code if f and f in recording.framework.lower()), "")
            how = code.get(known) or f"step/K/{kind}"
            lacking.setdefault(how, []).append(side)
    return tuple(f"{stage}: not in {' and '.join(sides)}. {_said(how)}"
                 for how, sides in lacking.items())  # fmt: skip


def _said(how: str) -> str:
    return how[2:] if how.startswith("# ") else f"To record it: {how}"


def _has(recording: Recording, kind: str) -> bool:
    if kind == "evaluation":
        return any(key.startswith("eval/") for key in recording.tensors)
    return recording.one(0, kind) is not None or bool(recording.group(0, kind))
