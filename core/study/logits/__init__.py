"""A visitor's own logits and labels: where his samples are, and which loss gives them a gradient.

A file holds logits [n, classes], or [n] for two classes, and a label for each of the n samples.
Every row of LOSSES is tried on them in every number format and with every epsilon.
"""
