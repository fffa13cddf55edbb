"""The story of a network of convolutions that sees no picture, and is right all the same."""

from dataclasses import replace

import streamlit as st

from core.config import RunConfig
from core.presets import PRESETS
from core.study.reproduce import printed
from ui.draw import code
from ui.story import predict, sights, windows
from ui.story.batches import together
from ui.story.chapters import chapter, section
from ui.story.epochs import by_epoch
from ui.story.knobs import knobs
from ui.story.loops import loops
from ui.story.onward import onward
from ui.story.scale import as_asked, scale
from ui.story.shapes import OPTIONS, answer, shapes
from ui.story.twin import twins
from ui.story.watch import watch

start, asked = (RunConfig(**PRESETS[f"jax_cnn_28_channels{on}"].overrides) for on in ("", "_full"))
story = knobs("jax_cnn", ("seed", "source"), start)
size = as_asked(story.config, asked)
ways = {"axes of the post": {}, "axes put right": {"model": "cnn"}}
pair = post, right = twins(size, ways)
small = [
    twin._replace(config=replace(start, model=twin.config.model, seed=size.seed)) for twin in pair
]

st.title("What does a filter look at?", anchor=False)
chapter("puzzle", "A network of convolutions that gets 98.2% right")
st.markdown(
    "An introduction to JAX builds four convolutions and gives them MNIST as PyTorch's loader has "
    "it: a batch, one channel, 28 rows, 28 columns. It trains smoothly, and an epoch takes about "
    "as long as one of its dense network. *Interesting*, it says, and goes on."
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
chapter("watch", "The same layers, with the axes of the post and with those that stax reads")
guess.judge(*answer(post.config))
story.draw("seed")
scale(story, asked)
ended = watch(pair, predictions=False)
by_epoch(pair, printed.CNN, asked)
if not ended:
    st.stop()
chapter("inside", "From the picture to the logits")
shapes(pair)
section("What the first layer sees of a digit")
windows.windows(small, sights.sights(small))
chapter("cause", "stax reads the channels last")
sights.channels(small)
chapter("fix", "Put the channel last")
code("images = np.array(data).transpose(0, 2, 3, 1)    # (batch, 28, 28, 1)")
chapter("break", "The same network, another batch")
together(small)
section("The same numbers, another loop")
loops()
lessons = [
    "A network that learns may still not do what its name says. Look at the shapes of its kernels.",
    "98% is no proof on digits: a network that takes columns for channels gets there, too.",
    "BatchNorm that takes its statistics from the test batch answers for the batch, not the image.",
    "What is fast in one loop may be slow in another: measure form and loop together.",
]
onward("jax_cnn", post, right, "Ask for the shapes before you ask for the accuracy", lessons)
