"""The story of a question: 79% in JAX, 91% in Keras, and everything "the same"."""

import streamlit as st

from core.config import RunConfig
from core.study.reproduce import question
from ui.charts.palette import DEAD, TRAIN
from ui.story.census import census, stuck_digits
from ui.story.chance import chance
from ui.story.framework import backends, real
from ui.story.knobs import knobs
from ui.story.parting import parting
from ui.story.swap import swap_table
from ui.story.twin import Twin, snapshots
from ui.story.watch import watch

st.title("79% or 91%?")
st.markdown(
    "Somebody trains one small network twice: in JAX with a cross-entropy of his own, made "
    "“numerically stable” with a clip, and in Keras. Same initial weights, same 1,000 digits, "
    "same ten steps of gradient descent. *What is going on?*"
)
st.code(
    """y_hat  = jnp.clip(y_hat, 0.000001, 0.9999999)     # JAX: keep p away from 0 and 1 ...
logits = jnp.log(y_hat / (1 - y_hat))             # ... and go back to logits""",
    language="python",
)
values = knobs(
    "jax_vs_keras",
    ("seed", "learning_rate", "epsilon", "scaling"),
    RunConfig(),
    "Both networks share these. Can you make the gap vanish? One of them does it alone.",
)
guess = st.radio(
    "Predict first. Which one gets more digits right, and why?",
    ["JAX: its loss was made stable", "Keras: something in it keeps learning",
     "Neither: it is the same network"],
    index=None, key="guess",
)  # fmt: skip
if guess is None:
    st.info("Pick one, and both start to train.", icon=":material/touch_app:")
    st.stop()

pair = [
    Twin("JAX, clipped", RunConfig(loss="question_stable", **values), DEAD),
    Twin("Keras on TensorFlow", RunConfig(loss="keras_tf", **values), TRAIN),
]
if not watch(pair):
    st.stop()
jax_end, keras_end = (snapshots(twin)[-1].train_accuracy for twin in pair)
right = (
    "Keras" if keras_end - jax_end > 0.02 else "Neither" if jax_end - keras_end < 0.02 else "JAX"
)
st.success(
    f"You said: {guess}. JAX ends at {jax_end:.1%}, Keras at {keras_end:.1%}: "
    + ("that was it." if guess.startswith(right) else "look why not."),
    icon=":material/school:",
)

st.subheader("Why: the wrong ones cannot move")
st.markdown(
    "Raw pixels make logits of hundreds, so before the first step most predictions lie beyond "
    "the clip, many of them 0 or 1 to the last bit. The clip is flat there: its gradient is "
    "exactly zero. Keras on TensorFlow looks behind the sigmoid, finds the logits, and never "
    "clips."
)
census(pair)
stuck_digits(pair[0])
st.subheader("Where they part")
parting(*pair)
st.subheader("It is the weights: the question's own swap")
swap_table(*pair, question.as_printed)
st.subheader("Fact or chance?")
st.markdown(
    "The published 0.792 is one draw from a chaotic run. Repeat both from weights that are moved "
    "by no more than one rounding and see which result stands."
)
chance(pair, question.FINAL)
st.subheader("The twist: the same Keras code on three backends")
backends(
    values,
    {
        "Keras 3 on TensorFlow": "keras_tf",
        "… with a layer after the sigmoid that makes a new tensor": "keras_tf_hidden",
        "Keras 3 on JAX": "keras_jax",
        "Keras 3 on PyTorch": "keras_torch",
    },
)
real(values, {"tensorflow": "keras_tf", "jax": "keras_jax", "torch": "keras_torch"})
st.subheader("The fix")
st.code(
    "loss = optax.sigmoid_binary_cross_entropy(logits, labels).mean()  # and no sigmoid before it",
    language="python",
)
