"""Keras runs on JAX here, unless it is told otherwise."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")
