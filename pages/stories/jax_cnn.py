"""The story of a convolutional network that takes columns for channels and is still right."""

from dataclasses import replace

import streamlit as st

from core.presets import PRESETS
from core.study.reproduce import printed
from ui.pieces import predict
from ui.pieces.draw import code
from ui.story.chapters import chapter, section
from ui.story.epochs import by_epoch
from ui.story.jax_cnn import sights, windows
from ui.story.jax_cnn.batches import together
from ui.story.jax_cnn.loops import loops
from ui.story.jax_cnn.shapes import OPTIONS, shapes, solution
from ui.story.knobs import knobs
from ui.story.onward import onward
from ui.story.scale import at_full_size, scale
from ui.story.twin import twins
from ui.story.watch import watch

start, full = (PRESETS[f"jax_cnn_28_channels{on}"].config for on in ("", "_full"))
story = knobs("jax_cnn", ("seed", "source"), start)
size = at_full_size(story.config, full)
variants = {"axes of the post": {}, "axes put right": {"model": "cnn"}}
pair = post, right = twins(size, variants)
small = [
    twin._replace(config=replace(start, model=twin.config.model, seed=size.seed)) for twin in pair
]

st.title("What does a filter look at?", anchor=False)
chapter("puzzle", "A network of convolutions that gets 98.2% right")
st.markdown(
    "An introduction to JAX builds four convolutions and gives them MNIST in the order of "
    "PyTorch's loader: batch, channel, rows, columns. The network trains smoothly, and an epoch "
    "takes about as long as an epoch of the dense network before it. *Interesting*, says the "
    "introduction, and goes on."
)
code(
    """init_fun, conv_net = stax.serial(Conv(32, (5, 5), (2, 2), padding="SAME"), BatchNorm(), Relu,
                                 Conv(32, (5, 5), (2, 2), padding="SAME"), BatchNorm(), Relu,
                                 Conv(10, (3, 3), (2, 2), padding="SAME"), BatchNorm(), Relu,
                                 Conv(10, (3, 3), (2, 2), padding="SAME"), Relu,
                                 Flatten, Dense(num_classes), LogSoftmax)
_, params = init_fun(key, (batch_size, 1, 28, 28))"""
)
chapter("predict", "What does one filter of the first layer look at?")
guess = predict.predict("jax_cnn", "Predict first, then see.", OPTIONS)
if guess is None:
    st.stop()
chapter("watch", "The same layers, with the post's axes and with those that stax expects")
guess.judge(*solution(post.config))
story.draw("seed")
scale(story, full)
ended = watch(pair, predictions=False)
by_epoch(pair, printed.CNN, full)
if not ended:
    st.stop()
chapter("inside", "From the picture to the logits")
shapes(pair)
section("What the first layer makes of a digit")
windows.windows(small, sights.sights(small))
chapter("cause", "stax expects the channels last")
sights.channels(small)
chapter("fix", "Put the channel last")
code("images = np.array(data).transpose(0, 2, 3, 1)    # (batch, 28, 28, 1)")
chapter("break", "The same network, tested in batches of other sizes")
together(small)
section("The same convolution, in a Python loop and in a compiled one")
loops()
lessons = [
    "A network that learns may still not do what its name says. Look at the shapes of its kernels.",
    "98% of the digits is no proof: a network that takes columns for channels gets there, too.",
    "If BatchNorm uses the test batch's mean and variance, an answer depends on the whole batch.",
    "What is fast in a Python loop may be slow in a compiled one: measure in the loop you use.",
]
onward("jax_cnn", post, right, "Ask for the shapes before you ask for the accuracy", lessons)
