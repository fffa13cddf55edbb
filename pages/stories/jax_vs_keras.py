"""The story of a question: why 79% in JAX and 91% in Keras, though all seems the same?"""

import streamlit as st

from core.config import RunConfig
from core.study.reproduce import question
from ui.pieces import draw, predict
from ui.story import census
from ui.story.chapters import chapter, section
from ui.story.jax_vs_keras import framework
from ui.story.jax_vs_keras.repetitions import repetitions
from ui.story.jax_vs_keras.spine import spine
from ui.story.jax_vs_keras.swap import swapped
from ui.story.knobs import knobs
from ui.story.onward import onward
from ui.story.parting import parting
from ui.story.published import ends_beside_published, settings
from ui.story.twin import ends, twins
from ui.story.watch import watch
from ui.story.what_if import what_if

story = knobs("jax_vs_keras", ("seed", "learning_rate", "epsilon", "scaling"), RunConfig())
losses = {"JAX, clipped": "question_stable", "Keras on TensorFlow": "keras_tf"}
pair = jax, keras = twins(story.config, {name: {"loss": loss} for name, loss in losses.items()})
elsewhere = settings(RunConfig(), story.config)
options = {
    jax.label: "JAX: its loss was made stable",
    keras.label: "Keras: something in it keeps learning",
    None: "Neither: it is the same network",
}

st.title("79% or 91%?", anchor=False)
chapter("puzzle", "One network, trained twice")
st.markdown(
    "Somebody trains one small network twice to say whether a digit is 5 or more: in JAX with a "
    "hand-written cross-entropy, made “numerically stable” with a clip, and in Keras. Same initial "
    "weights, same 1,000 digits, same ten steps. One gets 79.2% right and the other 90.9%. "
    "*What is going on?*"
)
draw.code("""y_hat  = jnp.clip(y_hat, 0.000001, 0.9999999)     # JAX: keep p away from 0 and 1 ...
logits = jnp.log(y_hat / (1 - y_hat))             # ... and go back to logits""")
chapter("predict", "Which one gets more digits right?")
guess = predict.predict("jax_vs_keras", "Predict first, then see.", list(options.values()))
if guess is None:
    st.stop()
chapter("watch", "Ten steps, side by side")
story.draw("seed", "learning_rate", "epsilon", "scaling")
if not watch(pair):
    st.stop()
measured = ends_beside_published(ends(pair), question.FINAL, elsewhere)
guess.judge(options[predict.highest(ends(pair))], measured)
chapter("inside", "The logit of every digit, and its gradient")
spine(jax)
census.why(jax, keras)
census.census(pair)
section("When they begin to differ")
parting(*pair)
section("Swap the trained weights: does the result follow them?")
swapped(jax, keras, question.as_printed, "The accuracies that were published", elsewhere)
section("Fact or chance?", "nudged copies")
repetitions(pair, question.FINAL, elsewhere)
section("The twist: the same Keras code on three backends", "backend", "logit")
framework.backends(story.config)
framework.real(story.config)
chapter("fix", "Give the loss the logits")
draw.code("""loss = optax.sigmoid_binary_cross_entropy(logits, labels).mean()  # without a sigmoid
loss = keras.losses.BinaryCrossentropy(from_logits=True)(labels, logits)
loss = torch.nn.BCEWithLogitsLoss()(logits, labels)""")
chapter("break", "Is it the pixels?")
other, span = ("unit", "0 to 1") if story.config.scaling == "raw" else ("raw", "0 to 255")
what_if(f"pixels_{other}", pair, {"scaling": other}, f"What if all pixels go from {span}?")
lessons = [
    "Where a loss clips, it is flat: its gradient is exactly zero, however wrong the answer.",
    "Scale the pixels: the larger they are, the larger the logits, and the flatter such a loss.",
    "Silent images can still become right: the other images move the weights that all share.",
    "Give the loss logits, and let the library take the logarithm of the probability.",
    "Repeat each run before you compare two: a chaotic run gives a range, not one number.",
]
onward("jax_vs_keras", jax, keras, "A loss is more than its formula", lessons)
