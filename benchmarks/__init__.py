"""Benchmarks: `python -m benchmarks.<name>` prints its figures as JSON, peers side by side.

epoch: the product's training path beside a bare hand-written loop. peers: beside other libraries.
live: the trainer in a real Chromium. load: many visitors on one server. verdicts: how many
runs tell fact from chance. Progress goes to stderr; no figure is judged here, and the targets stand
in the issues, not in the code.
"""
