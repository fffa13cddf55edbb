"""The story of Lasagne issue 567: an epsilon turns NaN into a gradient of exactly zero."""

from dataclasses import replace

import streamlit as st

from core.study.lasagne import CONFIG
from ui.pieces import predict
from ui.pieces.draw import code
from ui.story.chapters import chapter, section
from ui.story.diagnosis import diagnoses
from ui.story.epsilon import gradients
from ui.story.epsilon.debate import debate
from ui.story.epsilon.strips import strips
from ui.story.knobs import knobs
from ui.story.onward import as_trained, onward
from ui.story.twin import twins
from ui.story.watch import watch
from ui.story.what_if import what_if

story = knobs("epsilon", ("scaling", "seed", "learning_rate", "epsilon"), CONFIG)
four = clip, one_hot, integer, logits = twins(story.config, {
    "Keras, clipped": {"loss": "clip"}, "Lasagne, one-hot": {"loss": "theano_onehot"},
    "Lasagne, integers": {"loss": "theano_int"}, "from logits": {"loss": "from_logits"},
})  # fmt: skip
options = ("Large numbers", "Exactly 0", "NaN")

st.title("NaN or silence?", anchor=False)
chapter("puzzle", "“Gradient vanishing right after the first training batch”")
st.markdown(
    "The same network, 784-1024-10 with softmax, is trained in Lasagne and in Keras from identical "
    "weights. In Lasagne training breaks down after the first batch, in Keras it goes on. Somebody "
    "finds the difference, a clip by a small epsilon, and proposes it to Lasagne: it *stabilises "
    "the training without any performance trade-off*."
)
code(
    """_EPSILON = 10e-8
predictions = theano.tensor.clip(predictions, _EPSILON, 1.0 - _EPSILON)
return theano.tensor.nnet.categorical_crossentropy(predictions, targets)""",
    mark="clip(",
)
chapter("predict", "Without the clip the first loss is finite. What is its gradient?")
guess = predict.predict("epsilon", "One-hot targets, pixels from 0 to 255, 512 images.", options)
if guess is None:
    st.stop()
chapter("watch", "The gradients of the first two batches, and the training after them")
story.draw("scaling", "seed")
st.markdown(
    "Lasagne takes its targets one-hot, as in the issue, or as integers, and for integers Theano "
    "computes the gradient in another way. The fourth loss takes the logits and never forms a "
    "probability."
)
gradients.gradients(four)
guess.judge(*gradients.solution(replace(CONFIG, loss="theano_onehot"), options))
story.draw("learning_rate", "epsilon")
if not watch(four, predictions=False):
    st.stop()
chapter("inside", "How much of the gradient is NaN, zero or a number, step by step")
strips([clip, one_hot, logits])
diagnoses([clip, one_hot, logits], "epsilon_step", at=1.0)
gradients.trade(clip.config, one_hot.config)
section("The thread, claim by claim")
debate()
chapter("fix", "Never form the probability")
code("""loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)  # no softmax in the last layer
loss = torch.nn.CrossEntropyLoss()""")
chapter("break", "Is it the learning rate?")
asks = "Above you saw how these two end. What if both train at a learning rate of 0.001?"
what_if("small_steps", [clip, logits], {"learning_rate": 0.001}, asks)
half = replace(CONFIG, loss="from_logits", precision="float16")
as_trained(half, "Train it in float16, and see what overflows")
lessons = [
    "NaN is easy to see: it says that a number could not be computed.",
    "A clip hides the trouble: its gradient is exactly zero where it should be largest.",
    "The right epsilon depends on the number format: fewer digits need a larger one.",
    "From logits there is nothing to clip, and no epsilon to tune.",
]
onward("epsilon", clip, logits, "Finite is not the same as right", lessons)
