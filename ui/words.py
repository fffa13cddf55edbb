"""GLOSSARY: what the terms mean, one sentence each, behind the (?) where they first stand."""

GLOSSARY = {
    "logit": "A logit z is what the network's last layer says before it becomes a probability, "
    "p = 1/(1 + exp(-z)): 0 means half and half, 10 almost sure, -10 almost sure of the opposite.",
    "nats": "A nat is the unit of a loss taken with the natural logarithm: being right with "
    "probability p costs -log p, so 0.69 nats is a coin's guess, and 0 is sure and right.",
    "label": "The label is the right answer, as the loss takes it: 1 for a digit of 5 or more, 0 "
    "for one below 5.",
}


def explained(*terms: str) -> str:
    """What these terms mean, for a widget's or a heading's `help`."""
    return "  \n".join(GLOSSARY[term] for term in terms)
