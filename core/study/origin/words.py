"""What made a NaN, in words and with its numbers."""

import math

import ml_dtypes

from core.fields import number
from core.study.origin.run import Origin
from core.study.origin.tape import Made, Operation

DIGITS = 4
FORMULAS = {
    "mul": "{} · {}", "product_of": "{} · {}", "div": "{} / {}", "sub": "{} - {}",
    "add": "{} + {}", "add_any": "{} + {}", "neg": "-{}", "log": "log {}", "log1p": "log(1 + {})",
    "exp": "exp({})", "exp2": "2^{}", "logistic": "sigmoid({})", "sqrt": "√{}",
    "square": "{}²", "pow": "{}^{}",
}  # fmt: skip
NAMES = {"reduce_sum": "a sum", "dot_general": "a matrix product",
         "conv_general_dilated": "a convolution"}  # fmt: skip


def formula(operation: Operation) -> str:
    """An operation with its numbers, as in: log 0 = -inf."""
    operands = [_operand(operation.name, each) for each in operation.operands]
    template = FORMULAS.get(operation.name)
    result = number(operation.result, DIGITS)
    if operation.name == "convert_element_type":
        text = f"{operands[0]} in {operation.dtype.name}"
    elif operation.name in ("reduce_sum", "sum_of_products"):
        what = "products" if operation.name == "sum_of_products" else "numbers"
        most, least = operands
        text = f"the sum of {operation.terms:,} {what} from {least} to {most}"
    elif template is None or template.count("{}") != len(operands):
        name = NAMES.get(operation.name, operation.name.replace("_", " "))
        text = f"{name}({', '.join(operands)})" if operands else name
    else:
        text = template.format(*operands)
    return f"{text} = {result}"


def _operand(name: str, value: float) -> str:
    text = number(value, DIGITS)
    return f"({text})" if text.startswith("-") and name not in ("exp", "logistic") else text


def chain(made: Made) -> str:
    """The operations that led to a NaN, in Markdown."""
    return ", then ".join(f"`{formula(operation)}`" for operation in made.operations)


def cause(operation: Operation) -> str:
    """Why the result of an operation is NaN or infinite, one sentence, or nothing."""
    a, *rest = map(abs, operation.operands or (math.nan,))
    b = rest[0] if rest else math.nan
    if math.isfinite(operation.result):
        return ""
    if math.isnan(operation.result):
        if {a, b} == {0.0, math.inf}:
            return "0 times infinity has no value."
        if a == b == math.inf:
            less = "divided by" if operation.name == "div" else "minus"
            return f"Infinity {less} infinity has no value."
        if a == b == 0:
            return "0 divided by 0 has no value."
        return ""
    finite = all(map(math.isfinite, operation.operands))
    if not finite or (operation.name == "div" and b == 0) or (operation.name == "log" and a == 0):
        return ""
    largest = float(ml_dtypes.finfo(operation.dtype).max)
    return f"The largest number of {operation.dtype.name} is {number(largest, 5)}."


def derivation(made: Made) -> str:
    """The operations that led to a NaN and why they did, in Markdown."""
    causes = dict.fromkeys(filter(None, map(cause, made.operations)))
    return " ".join([f"{chain(made)}.", *causes])


def sentence(origin: Origin) -> str:
    """Where the first NaN of a run comes from, in Markdown."""
    where = f"At step {origin.step:,}, {origin.place}"
    if origin.image is not None:
        where += f", for example of image {origin.image:,}"
        if len(origin.logits) == 1:
            where += f" (z = {number(origin.logits[0], DIGITS)}, y = {origin.label})"
        elif origin.logits and origin.label is not None:
            largest, own = max(origin.logits), origin.logits[origin.label]
            where += f" (digit {origin.label}, whose logit is {number(own, DIGITS)}; "
            where += f"the largest is {number(largest, DIGITS)})"
    if origin.made is None or not origin.made.operations:
        return f"{where}. One operation at a time no number breaks: compiled together they do."
    return f"{where}: {derivation(origin.made)}"
