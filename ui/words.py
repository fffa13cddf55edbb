"""GLOSSARY: what the terms mean, one sentence each, behind the (?) where they first stand."""

GLOSSARY = {
    "loss": "The **loss** is one number for how wrong the answers are; each step of training "
    "moves the weights to make it smaller.",
    "cross-entropy": "**Cross-entropy** is the usual loss for answers that are probabilities: "
    "-log p, with p the probability given to the right answer.",
    "logit": "A **logit** z is what the network's last layer says before it becomes a probability, "
    "p = 1/(1 + exp(-z)): 0 means half and half, 10 almost sure, -10 almost sure of the opposite.",
    "nats": "A **nat** is the unit of a loss taken with the natural logarithm: being right with "
    "probability p costs -log p, so 0.69 nats is a coin's guess, and 0 is sure and right.",
    "label": "The **label** y is the right answer, as the loss takes it: 1 for a digit of 5 or "
    "more, 0 for one below 5.",
    "margin": "The **margin** is the logit of the right digit's probability: it is above 0 where "
    "the network gives that digit more than one half.",
    "share right": "The **share right**, or accuracy, is how many of the images get the right "
    "answer, in percent.",
    "held out": "Images **held out** are never trained on: they show what the network can do with "
    "digits that it has not seen.",
    "gradient": "The **gradient** says which way, and how strongly, each weight must move to make "
    "the loss smaller; an image's own gradient, dL/dz, is how hard it pulls at its logit.",
    "gradient norm": "The **gradient norm** of a layer is the length of its gradient: how strongly "
    "a step pulls at all weights of the layer together.",
    "zero gradient": "**Zero gradient** is the share of the images whose own gradient is exactly "
    "0, right or wrong: nothing in the step comes from them.",
    "no say": "Images that are wrong and whose gradient is exactly 0 have **no say**: nothing in "
    "the step comes from them, and only what others teach can move them.",
    "steered": "An image is **steered** if it has a gradient, and silent if its gradient is "
    "exactly 0.",
    "saturated": "A prediction is **saturated** when its probability is exactly 0 or 1, for a "
    "float32 has no number nearer to it.",
    "clipped": "A probability is **clipped** when the loss replaces what lies too near to 0 or 1 "
    "by a fixed value a little away: from there on the loss is flat.",
    "epsilon": "**Epsilon** is how far from 0 and 1 a clipping loss keeps the probability.",
    "NaN": "**NaN**, not a number, is the answer of arithmetic where there is none, as in 0 times "
    "infinity; nearly all that is computed from it is NaN as well.",
    "one rounding apart": "Copies of a run are **one rounding apart** when their weights at the "
    "start differ in the last digit that float32 keeps: what differs at the end is chance.",
    "ornstein-uhlenbeck process": "An **Ornstein-Uhlenbeck process** is a value that is pushed "
    "about by chance and pulled back to its mean, the more strongly the further away it is.",
    "squared error": "The mean **squared error** is the mean of (prediction - target)², here of "
    "each prediction and its own target, whatever the loss compares.",
    "teacher forcing": "With **teacher forcing** a network is given each true (here: noisy) value "
    "before it predicts the next, and not its own prediction.",
    "epoch": "An **epoch** is one pass over all training images.",
    "batch": "A **batch** is the images that one step looks at; if it is all of them, each step is "
    "an epoch.",
    "learning rate": "The **learning rate** scales each step: the weights move by it times the "
    "gradient, or times what the optimizer makes of the gradient.",
    "dropout": "**Dropout** sets some of a layer's units to 0, others at each step. Frameworks "
    "disagree on its number: in some it is the probability to keep a unit, in others to drop it.",
    "random numbers": "A computer's **random numbers** follow from the seed by a formula. JAX "
    "changed its own in version 0.5, so that a seed gives other initial weights since; the "
    "question's 43.5% before the first step needs the older one.",
    "jit": "**jit** traces a function, compiles it for the shapes and types of its arguments, and "
    "calls the machine code from then on: the first call pays for the compilation.",
    "dispatch": "**Dispatch** is handing work over: JAX returns before a result is computed, and "
    "whoever looks at the result, or calls block_until_ready, waits for it.",
    "grad": "**grad** turns a function that gives one number into the function of its derivative, "
    "computed exactly by the chain rule and not by differences.",
    "vmap": "**vmap** turns a function of one example into a function of a batch; like jit and "
    "grad it gives a function, which is yet to be called.",
    "backend": "A **backend** is the library that does the arithmetic for Keras.",
}


def explained(*terms: str) -> str:
    """What these terms mean, for a widget's or a heading's `help`."""
    return "\n\n".join(GLOSSARY[term] for term in terms)
