"""The sentences of verdicts, and what to write in a program to make two the same."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from core.study.compare.fit_loss import BEHIND
from core.study.compare.pieces import Facets
from core.study.compare.schedules import Schedule


@dataclass(frozen=True)
class Cause:
    """A cause that a facet tells of: its sentence of the values in a and in b, and what to write.

    `wrong` says which value is a mistake rather than a choice, if any is.
    """

    key: str
    sentence: Callable[[Any, Any], str]
    write: Mapping[str, str]  # framework ("" for any) -> code, with {value} for the other's
    wrong: Callable[[Any], bool] = lambda value: False


def number(value: Any) -> str:
    """Return a number as a person would write it, and other values as text."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return "none" if value in (None, "") else str(value)


_CODED = {
    "as they are": "as they are",
    "one too high": "plus one",
    "one too low": "minus one",
    "swapped": "with 0 and 1 swapped",
}


def told(facet: str, facets: Facets) -> str:
    """Return a facet's value in words that can stand by themselves."""
    named = {
        "wiring": "what the loss takes its outputs for,",
        "form": "the form",
        "rule": "the rule",
        "mask_scale": "the share that is kept",
    }
    if isinstance(facets.get(facet), Schedule):
        return "the rates"
    return named.get(facet) or number(facets.get(facet))


def _of(what: str) -> Callable[[Any, Any], str]:
    return lambda a, b: f"{what} is {number(a)} in a and {number(b)} in b."


_ODD_ARITHMETIC = ("bfloat16", "float16", "tf32")


def _wiring(a: Any, b: Any) -> str:
    told = {
        "softmax twice": "takes the softmax of outputs that are probabilities already",
        "logits as probabilities": "takes logits for probabilities",
        "right": "takes its outputs for what they are",
    }
    return f"The loss of a {told[a]}; that of b {told[b]}."


def _arithmetic(a: Any, b: Any) -> str:
    return (
        f"Products are computed in {a or 'full precision'} in a and {b or 'full precision'} in b."
    )


_REDUCED: dict[str, str] = {
    "mean": "the mean over examples",
    "sum": "the sum over examples",
    "outputs": "the mean over examples and outputs",
}

CAUSES: dict[str, Cause] = {
    # outputs
    "activation": Cause(
        "activation", _of("The activation of hidden layers"),
        {"": "use the activation {value}"},
    ),
    "arithmetic": Cause(
        "number_format", _arithmetic,
        {"keras": 'keras.mixed_precision.set_global_policy("float32")',
         "torch": 'torch.set_float32_matmul_precision("highest")  # and no autocast',
         "jax": 'jax.config.update("jax_default_matmul_precision", "highest")',
         "": "compute in float32"},
        lambda value: value in _ODD_ARITHMETIC,
    ),
    "norm": Cause(
        "norm_mode",
        lambda a, b: f"In training, batch norm uses the {a} averages in a and the {b} ones in b.",
        {"torch": "model.train()", "keras": "model(x, training=True)",
         "": "use the batch's own mean and variance in training"},
        lambda value: value == "running",
    ),
    "norm_epsilon": Cause(
        "norm_epsilon", _of("The epsilon of batch norm"),
        {"torch": "torch.nn.BatchNorm1d(width, eps={value})",
         "keras": "keras.layers.BatchNormalization(epsilon={value})", "": "epsilon = {value}"},
    ),
    # loss
    "loss": Cause("loss", _of("The loss"), {"": "use the loss {value}"}),
    "reduction": Cause(
        "reduction",
        lambda a, b: f"The loss is {_REDUCED[a]} in a and {_REDUCED[b]} in b.",
        {"torch": 'reduction="{value}"', "keras": 'reduction="{value}"', "": "take the {value}"},
    ),
    "loss_epsilon": Cause("loss_epsilon", _of("The epsilon of the loss"),
                          {"": "epsilon = {value}"}),
    "coding": Cause(
        "labels_shifted",
        lambda a, b: f"The loss takes the labels {_CODED[a]} in a and {_CODED[b]} in b.",
        {"": "give the loss the labels {value}"}, lambda value: value != "as they are",
    ),
    "smoothing": Cause(
        "label_smoothing", _of("Label smoothing"), {"": "label_smoothing={value}"},
    ),
    # gradients
    "summed": Cause(
        "gradients_not_zeroed",
        lambda a, b: f"The gradients of {'a' if a else 'b'} hold those of all earlier steps, too.",
        {"torch": "optimizer.zero_grad()  # before loss.backward()",
         "": "start each step from gradients of zero"},
        lambda value: value is True,
    ),
    "factor": Cause("gradient_factor", _of("The factor on the gradients"),
                    {"": "multiply the gradients by {value}"}),
    # update
    "rate": Cause(
        "learning_rate", _of("The learning rate"),
        {"torch": "lr={value}", "keras": "learning_rate={value}", "": "learning_rate={value}"},
    ),
    "beta": Cause(
        "momentum", _of("The momentum, or beta_1,"),
        {"torch": "momentum={value}  # or betas=({value}, ...)",
         "keras": "momentum={value}  # or beta_1={value}", "": "momentum = {value}"},
    ),
    "beta_2": Cause(
        "beta_2", _of("The decay of the mean square"),
        {"torch": "alpha={value}  # RMSprop; Adam: betas=(..., {value})",
         "keras": "rho={value}  # RMSprop; Adam: beta_2={value}", "": "beta_2 = {value}"},
    ),
    "epsilon": Cause(
        "optimizer_epsilon", _of("The optimizer's epsilon"),
        {"torch": "eps={value}", "keras": "epsilon={value}", "": "eps={value}"},
    ),
    "start": Cause(
        "accumulator_start", _of("The start of the sum of squares"),
        {"torch": "initial_accumulator_value={value}",
         "keras": "initial_accumulator_value={value}",
         "": "initial_accumulator_value={value}"},
    ),
    # state and evaluation
    "norm_momentum": Cause(
        "norm_momentum", _of("Of the running averages, a step keeps a share that"),
        {"torch": "momentum=1 - {value}  # of BatchNorm; PyTorch's is the share of the new",
         "keras": "momentum={value}  # of BatchNormalization", "": "momentum = {value}"},
    ),
    "variance": Cause(
        "norm_variance", _of("The variance that the running average is fed"),
        {"": "feed it the {value} variance: divide by n if biased, else by n - 1"},
    ),
    "norm_at_evaluation": Cause(
        "norm_evaluation",
        lambda a, b: f"At evaluation, batch norm uses the {a} averages in a and the {b} ones in b.",
        {"torch": "model.eval()", "keras": "model(x, training=False)",
         "": "use the running averages at evaluation"},
        lambda value: value == "batch",
    ),
    "dropout_at_evaluation": Cause(
        "dropout_at_evaluation",
        lambda a, b: f"Dropout is still on in {'a' if a else 'b'} at evaluation.",
        {"torch": "model.eval()", "keras": "model(x, training=False)",
         "": "turn dropout off at evaluation"},
        lambda value: value is True,
    ),
    # first weights
    "weights": Cause(
        "initial_scale", _of("What the first weights look like"), {"": "draw weights from {value}"},
    ),
    "biases": Cause(
        "initial_biases", _of("What the first biases look like"), {"": "draw biases from {value}"},
    ),
}  # fmt: skip


def cause_of(facet: str, a: Facets, b: Facets) -> Cause:
    """Return the cause that a facet tells of, where its values are those."""
    x, y = a.get(facet), b.get(facet)
    if facet == "rule":
        if {x, y} == {"SGD", "momentum"}:
            return Cause("momentum", _of("The rule of the steps"), CAUSES["beta"].write)
        return Cause("optimizer", _of("The rule of the steps"), {"": "step by {value}"})
    if facet == "form":
        return _form(a, b)
    if facet == "rate" and (isinstance(x, Schedule) or isinstance(y, Schedule)):
        return _scheduled(x, y)
    if facet == "wiring" and BEHIND in (x, y):
        return _behind(a, b)
    if facet == "wiring":
        key = "softmax_twice" if "softmax twice" in (x, y) else "from_logits"
        write = {"keras": "from_logits=True, or a softmax as the last layer, not both",
                 "torch": "give CrossEntropyLoss the logits, without a softmax",
                 "": "give the loss logits if it takes logits"}  # fmt: skip
        return Cause(key, _wiring, write, lambda value: value != "right")
    if facet == "mask_scale":
        return _dropout(1 / x if x else 1.0, 1 / y if y else 1.0)
    if facet == "beta" and 1.0 in (x, y):
        return Cause("gradients_not_zeroed", lambda p, q: CAUSES["summed"].sentence(p == 1, q == 1),
                     CAUSES["summed"].write, lambda value: value == 1)  # fmt: skip
    return CAUSES[facet]


def _behind(a: Facets, b: Facets) -> Cause:
    """One side's loss sees the logits, the other's the probabilities, rounded and clipped."""
    taken, side = (a, "a") if b["wiring"] == BEHIND else (b, "b")
    epsilon = f", epsilon {number(taken['loss_epsilon'])}" if taken["loss_epsilon"] else ""
    return Cause(
        "logits_lost",
        lambda p, q: f"Both networks end in probabilities. The loss of {side} takes these as they "
        f"are ({taken['loss']}{epsilon}); that of {'b' if side == 'a' else 'a'} looks for the "
        "logits behind them, and loses nothing where they round to 0 or 1.",
        {"keras": "keras.losses.BinaryCrossentropy(from_logits=True)  # and no sigmoid at the end",
         "torch": "torch.nn.BCEWithLogitsLoss()  # or CrossEntropyLoss; no sigmoid or softmax",
         "jax": "optax.sigmoid_binary_cross_entropy(logits, labels)  # logits, not probabilities",
         "": "give the loss the logits, not the probabilities"},
        lambda value: value != BEHIND,
    )  # fmt: skip


def _scheduled(x: Any, y: Any) -> Cause:
    """A rate that changes from step to step on one side at least; the code is for b, as for a."""
    if isinstance(x, Schedule) and isinstance(y, Schedule) and replace(x, inside=y.inside).alike(y):
        outside, inside = "ab" if y.inside else "ba"
        told = (
            f"The learning rate changes from step to step: {x}. The momentum of {inside} sums up "
            f"gradients times the rates of their own steps; that of {outside} is multiplied by the "
            "present rate."
        )
        return Cause("rates_in_momentum", lambda p, q: told, {
            "": "no option of a framework does this: write the step by hand, or keep the rate",
        })  # fmt: skip
    in_a, in_b = (
        f"changes from step to step in {side}: {value}"
        if isinstance(value, Schedule)
        else f"is {number(value)} at all steps in {side}"
        for side, value in (("a", x), ("b", y))
    )
    write = {"torch": "lr={value}  # and no scheduler", "": "learning_rate={value}  # no schedule"}
    if isinstance(x, Schedule):
        write = {f: x.write(f) for f in ("torch", "keras", "jax", "")}
    return Cause("rate_schedule", lambda p, q: f"The learning rate {in_a}; it {in_b}.", write)


def _form(a: Facets, b: Facets) -> Cause:
    x, y = a["form"], b["form"]
    if "Nesterov's" in (x, y):
        return Cause("nesterov", _of("The momentum's form"),
                     {"": "nesterov=True  # or False, as in the other"})  # fmt: skip
    if a["rule"] == "momentum":
        return Cause("momentum_form", _of("The momentum's form"),
                     {"torch": "dampening=0  # a sum; dampening=momentum is a mean",
                      "": "keep {value} of gradients"})  # fmt: skip
    if "always at its first step" in (x, y):
        return Cause("bias_correction", _of("The bias correction"),
                     {"": "count the steps: {value}"},
                     lambda value: value == "always at its first step")  # fmt: skip
    if a["rule"] == "Nadam":
        return Cause("momentum_schedule", _of("The pace of Nadam's momentum"), {"": "{value}"})
    return Cause(
        "epsilon_place",
        _of("Where the optimizer adds its epsilon"),
        {"": "no option of a framework does this: write the step by hand, or leave it"},
    )


def _dropout(keep_a: float, keep_b: float) -> Cause:
    """A rate that is kept in one and dropped in the other, or merely another one."""
    swapped = abs(keep_a + keep_b - 1) < 0.03 and abs(keep_a - keep_b) > 0.06

    def sentence(_a: Any, _b: Any) -> str:
        told = f"Dropout keeps {keep_a:.2g} of the units in a and {keep_b:.2g} in b"
        if swapped:
            return f"{told}: the probability to keep was taken for the one to drop."
        return f"{told}."

    write = {"torch": "torch.nn.Dropout({dropped})", "keras": "keras.layers.Dropout({dropped})",
             "": "keep {keep} of the units"}  # fmt: skip
    filled = {f: w.format(dropped=number(1 - keep_a), keep=number(keep_a))
              for f, w in write.items()}  # fmt: skip
    return Cause("keep_prob" if swapped else "dropout_rate", sentence, filled)


def dropout(keep_a: float, keep_b: float) -> Cause:
    """Return the cause of two shares of kept units."""
    return _dropout(keep_a, keep_b)


def write(cause: Cause, framework: str, side: str, value: Any) -> str:
    """Return what to write in a side's program so that it does as the other."""
    known = next((f for f in ("torch", "keras", "jax") if f in framework.lower()), "")
    code = cause.write.get(known, cause.write[""])
    return f"# in {side}:\n" + code.replace("{value}", number(value))
