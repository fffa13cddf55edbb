"""The story of three lines that should give the same result, and of a loss summed or averaged."""

import streamlit as st

from core.presets import PRESETS
from core.study import basics
from ui.pieces import predict
from ui.story.cells import source, timed
from ui.story.chapters import chapter, section
from ui.story.jax_basics.basics import outs, reused, slopes, solution
from ui.story.jax_basics.reduction import sum_or_mean
from ui.story.knobs import knobs
from ui.story.onward import onward
from ui.story.scale import at_full_size
from ui.story.twin import twins

start, full = (PRESETS[key].config for key in ("jax_mlp", "jax_mlp_full"))
story = knobs("jax_basics", ("seed", "source"), start)
size = at_full_size(story.config, full)
pair = summed, mean = twins(size, {"sum": {}, "mean": {"reduction": "mean"}})
outcomes = ["The same 32 rows once more", "A function", "An error stops the program"]

st.title("What does `out` hold?", anchor=False)
chapter("puzzle", "Three lines that should give the same result")
st.markdown(
    "An introduction to JAX puts 32 images through one layer in three ways: in a loop, batched by "
    "hand, and batched by `vmap`. It runs without an error, and nobody looks at the results."
)
source(basics.relu_layer, basics.post)
chapter("predict", "What is the third result?")
guess = predict.predict("jax_basics", '`post(X)["vmap"]`: predict first, then see.', outcomes)
if guess is None:
    st.stop()
chapter("watch", "The same cell, run here")
outs("post")
guess.judge(*solution(outcomes))
chapter("inside", "The tools, one at a time")
section("jit: the first call and later calls", "jit", "dispatch")
timed(basics.jit_times, basics.ReLU, basics.seconds, basics.median)
section("A matrix product, in NumPy and in JAX", "dispatch")
timed(basics.product_times)
section("grad, and what it gives at 0", "grad")
source(basics.finite_difference, basics.slopes)
slopes()
section("One key, used three times", "random numbers")
source(basics.batch_and_layer)
reused()
chapter("cause", "One function is never called, and one reads the wrong variable")
st.markdown(
    "`vmap_relu_layer` returns the function that `jit` made and never calls it. "
    "`batch_version_relu_layer` is called, but it is given `x` and reads `X`. Another batch shows "
    "it: with zeros, each row should be the ReLU of the biases."
)
source(basics.post, mark=8 * " " + "return")
outs("post", zeros=True)
chapter("fix", "Call it, and compare with a loop on another batch")
source(basics.mended)
outs("mended", zeros=True)
st.markdown(
    "Declared to return an `Array`, the third would not pass a type checker: mypy 2.4 says `got "
    '"JitWrapped", expected "Array"`.'
)
section("What vmap is for", "vmap")
timed(basics.layer_times)
chapter("break", "The post's network, and a gradient 100 times as large")
sum_or_mean(story, pair, full)
lessons = [
    "A function that is returned has not yet run. Look at the type and shape of what you get.",
    "A function that reads a global instead of its argument is right only while both are equal.",
    "Without `block_until_ready` you measure only how long it takes to hand the work over.",
    "At a corner a gradient is a convention: `jnp.maximum` says one half at 0, `jax.nn.relu` 0.",
]
onward("jax_basics", summed, mean, "A program without an error can still be wrong", lessons)
