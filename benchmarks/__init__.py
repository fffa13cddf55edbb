"""Benchmarks: `python -m benchmarks.<name>` prints its figures as JSON, peers side by side.

epoch     the product's training path beside a bare hand-written loop
peers     the product beside other libraries
sweep     a sweep beside loops of single runs
live      the trainer in a real Chromium
load      many visitors on one server
attack    a server under attack while others train
memory    what a server keeps, beside its budget
mixed     visitors on all pages, beside as many on the trainer
slow      a server on one core
cold      the first visitor of a server that has just started
verdicts  how many runs it takes to tell fact from chance
truth     whether the sentences of the diagnosis are true

Progress goes to stderr. The benchmarks judge no figure; the targets are in the issues, not in the
code.
"""
