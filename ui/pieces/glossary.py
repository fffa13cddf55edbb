"""GLOSSARY: what the terms mean, one sentence each, behind the (?) at their first use."""

GLOSSARY = {
    "loss": "The **loss** is one number for how wrong the answers are; each step of training moves "
    "the weights to make it smaller.",
    "cross-entropy": "**Cross-entropy** is the usual loss for answers that are probabilities: -log "
    "p, with p the probability given to the right answer.",
    "logit": "A **logit** z is the output of the network's last layer, before it becomes a "
    "probability, p = 1/(1 + exp(-z)): 0 means half and half, 10 almost sure, -10 almost sure of "
    "the opposite.",
    "nats": "A **nat** is the unit of a loss that uses the natural logarithm: giving the right "
    "answer probability p costs -log p. Tossing a coin costs 0.69 nats; being sure and right costs "
    "0.",
    "label": "The **label** y is the right answer, as the loss takes it: 1 for a digit of 5 or "
    "more, 0 for one below 5.",
    "margin": "The **margin** is the logit of the right digit's probability: above 0, the network "
    "gives that digit more than one half.",
    "share right": "The **share right**, or accuracy, is how many of the images get the right "
    "answer, in percent.",
    "held out": "**Held-out** images are never trained on: they show what the network can do with "
    "digits it has not seen.",
    "gradient": "The **gradient** says which way, and how strongly, each weight must move to make "
    "the loss smaller; an image's own gradient, dL/dz, is how hard it pulls at its logit.",
    "gradient norm": "The **gradient norm** of a layer is the length of its gradient: how strongly "
    "a step pulls at all weights of the layer together.",
    "zero gradient": "**Zero gradient** is the share of the images whose own gradient is exactly "
    "0, right or wrong: the step learns nothing from them.",
    "silent": "An image is **silent** if its gradient is exactly 0: the step learns nothing from "
    "it. A wrong and silent image can still become right, because all images share the weights.",
    "saturated": "A prediction is **saturated** when its probability is exactly 0 or 1, because "
    "the exact value is too close to it for float32.",
    "clipped": "A probability is **clipped** when it is so close to 0 or 1 that the loss replaces "
    "it by a fixed value a little further away: beyond that value the loss is flat.",
    "epsilon": "**Epsilon** is how far from 0 and 1 a clipping loss keeps the probability.",
    "NaN": "**NaN**, not a number, is what arithmetic gives where there is no answer, as in 0 "
    "times infinity; almost everything computed from it is NaN as well.",
    "nudged copies": "**Nudged copies** of a run start from its initial weights changed in the "
    "last digit of their number format. Where the copies end differently, that is chance.",
    "ornstein-uhlenbeck process": "An **Ornstein-Uhlenbeck process** is a value that is pushed "
    "about by chance and pulled back to its mean, the more strongly the further away it is.",
    "squared error": "The mean **squared error** is the mean of (prediction - target)², here "
    "always of each prediction and its own target, even if the loss compares others.",
    "teacher forcing": "With **teacher forcing** a network is given each true (here: noisy) value "
    "before it predicts the next one, instead of its own prediction.",
    "epoch": "An **epoch** is one pass over the training images; those left over that do not fill "
    "a batch may be left out.",
    "batch": "A **batch** is the set of images that one step uses; if that is all of them, each "
    "step is an epoch.",
    "shuffle buffer": "A **shuffle buffer** holds so many of the next images; each image is drawn "
    "at random from it. If the data are sorted by label, a small one gives batches of few labels.",
    "learning rate": "The **learning rate** scales each step: the weights move by it times the "
    "gradient, or times what the optimizer makes of the gradient.",
    "dropout": "**Dropout** sets some of a layer's units to 0, different ones at each step. "
    "Frameworks disagree on its number: some take it as the probability to keep a unit, others as "
    "the probability to drop it.",
    "batch normalisation": "**Batch normalisation**, or BatchNorm, shifts and scales what each "
    "unit adds up to, so that over a batch it has mean 0 and variance 1. It keeps running averages "
    "of both for test time.",
    "random numbers": "A computer's **random numbers** follow from the seed by a formula. JAX "
    "changed its formula in version 0.5, so the same seed now gives other initial weights; the "
    "question's 43.5% before the first step needs the older formula.",
    "jit": "**jit** traces a function, compiles it for the shapes and types of its arguments, and "
    "calls the machine code from then on: the first call pays for the compilation.",
    "dispatch": "**Dispatch** is handing work over: JAX returns before the result is computed. "
    "Looking at the result, or calling block_until_ready, waits for it.",
    "grad": "**grad** turns a function that returns one number into its derivative, computed by "
    "the chain rule and not by differences.",
    "vmap": "**vmap** turns a function of one example into a function of a batch. Like jit and "
    "grad it returns a function, which you still have to call.",
    "backend": "A **backend** is the library that does the arithmetic for Keras.",
}


def explained(*terms: str) -> str:
    """Return what these terms mean, for the `help` of a widget or a heading."""
    return "\n\n".join(GLOSSARY[term] for term in terms)
