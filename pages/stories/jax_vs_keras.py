"""The story of a question: 79% in JAX, 91% in Keras, and everything "the same"."""

from dataclasses import replace

import streamlit as st

from core.config import RunConfig
from core.study.reproduce import question
from ui.charts.palette import HELD_OUT, TRAIN
from ui.draw import code
from ui.story.census import census, silent_digits, why
from ui.story.chance import chance
from ui.story.framework import backends, real
from ui.story.knobs import knobs
from ui.story.parting import parting
from ui.story.predict import judge, predict
from ui.story.swap import swap_table
from ui.story.twin import Twin, snapshots
from ui.story.watch import watch
from ui.words import explained

st.title("79% or 91%?")
st.markdown(
    "Somebody trains one small network twice: in JAX with a cross-entropy of his own, made "
    "“numerically stable” with a clip, and in Keras. Same initial weights, same 1,000 digits, "
    "same ten steps of gradient descent. *What is going on?*",
    help=explained("cross-entropy", "clipped", "gradient"),
)
code(
    """y_hat  = jnp.clip(y_hat, 0.000001, 0.9999999)     # JAX: keep p away from 0 and 1 ...
logits = jnp.log(y_hat / (1 - y_hat))             # ... and go back to logits"""
)
shared = knobs(
    "jax_vs_keras",
    ("seed", "learning_rate", "epsilon", "scaling"),
    RunConfig(),
    "Both networks share these. Can you make the gap vanish? One of them does it alone.",
)
options = (
    "JAX: its loss was made stable", "Keras: something in it keeps learning",
    "Neither: it is the same network",
)  # fmt: skip
guess = predict("Predict first. Which one gets more digits right, and why?", options)
jax = Twin("JAX, clipped", replace(shared, loss="question_stable"), HELD_OUT)
keras = Twin("Keras on TensorFlow", replace(shared, loss="keras_tf"), TRAIN)
if not watch([jax, keras]):
    st.stop()
ends = {name: snapshots(twin)[-1].train_accuracy for name, twin in (("JAX", jax), ("Keras", keras))}
judge(guess, ends, options)

why(jax, keras)
census([jax, keras])
silent_digits(jax)
st.header("Where they part")
parting(jax, keras)
st.header("It is the weights: the question's own swap")
swap_table(jax, keras, question.as_printed)
st.header("Fact or chance?")
st.markdown(
    "Repeat both from weights that are moved by no more than one rounding, and see which result "
    "stands and which is one draw of many.",
    help=explained("one rounding apart"),
)
chance([jax, keras], question.FINAL)
st.header("The twist: the same Keras code on three backends", help=explained("backend", "logit"))
backends(
    shared,
    {
        "Keras 3 on TensorFlow": "keras_tf",
        "… with a layer after the sigmoid that makes a new tensor": "keras_tf_hidden",
        "Keras 3 on JAX": "keras_jax",
        "Keras 3 on PyTorch": "keras_torch",
    },
)
real(shared, {"tensorflow": "keras_tf", "jax": "keras_jax", "torch": "keras_torch"})
st.header("The fix")
code("loss = optax.sigmoid_binary_cross_entropy(logits, labels).mean()  # and no sigmoid before it")
