"""The story of one number: 0.7, which TensorFlow keeps and Keras drops."""

from dataclasses import replace

import streamlit as st

from core.presets import PRESETS
from ui.pieces import predict
from ui.pieces.draw import code
from ui.story.chapters import chapter, section
from ui.story.diagnosis import diagnoses
from ui.story.keep_or_drop import readings
from ui.story.keep_or_drop.reporting import trap
from ui.story.knobs import knobs
from ui.story.onward import onward
from ui.story.scale import at_full_size, scale
from ui.story.twin import twins
from ui.story.watch import watch
from ui.story.what_if import what_if

start = PRESETS["keep_or_drop"].config
story = knobs("keep_or_drop", ("dropout_value", "seed", "source"), start)
full = PRESETS["keep_or_drop_full"].config
dropout_value, size = story.config.dropout_value, at_full_size(story.config, full)
variants = {"kept: TensorFlow 1": {"dropout": "keep_prob"}, "dropped: Keras": {"dropout": "rate"}}
pair = keeps, drops = twins(size, variants)
options = ["About 179 in both", "About 179 in TensorFlow, about 77 in Keras", "About 77 in both"]

st.title("98% or 96%?", anchor=False)
chapter("puzzle", "The same 0.7 in both programs")
st.markdown(
    "Somebody writes one network twice, with the same optimizer, loss, initial weights and "
    "dropout of 0.7 after each of four hidden layers. In TensorFlow 1 it gets about 98% of the "
    "test images right, in Keras about 96%, every time. *What exactly is the cause?*"
)
code("""dropout = tf.nn.dropout(visible_layer, keep_prob=0.7)       # TensorFlow 1
dropout = tf.keras.layers.Dropout(0.7)(visible_layer)       # Keras""")
chapter("predict", "How many of a layer's 256 units are left in a training step?")
guess = predict.predict("keep_or_drop", "With 0.7 in both. Predict first, then see.", options)
if guess is None:
    st.stop()
chapter("watch", f"Two networks, both with {dropout_value:g}")
story.draw("dropout_value", "seed")
scale(story, full)
if not watch(pair, predictions=False):
    st.stop()
guess.judge(*readings.solution(replace(start, dropout_value=0.7), options))
chapter("inside", "What the number leaves of a layer")
readings.look_inside(replace(start, dropout_value=dropout_value, seed=story.config.seed))
st.markdown("What “Train a network” says of the two runs:")
diagnoses(pair, "keep_or_drop_step", at=0.2)
chapter("cause", "One framework keeps this share of the units, the other drops it")
readings.crossing(dropout_value)
readings.frameworks()
section("A second trap: what each program prints")
st.markdown(
    "The TensorFlow loop measures every batch again, after the update and with all units. Keras "
    "prints the accuracy of the training step itself, with units dropped. Here are both, measured "
    "in the same training:"
)
trap(pair, small=start)
chapter("fix", "Say whether the number is kept or dropped")
code("""dropout = keras.layers.Dropout(rate=1 - keep_prob)
dropout = flax.linen.Dropout(rate=1 - keep_prob)
dropout = torch.nn.Dropout(p=1 - keep_prob)""")
chapter("break", "Is there a number on which they agree?")
what_if("half", pair, {"dropout_value": 0.5}, "What if both programs use 0.5 instead?")
section("A misleading name: the rate of stax")
readings.port(start)
lessons = [
    "0.7 keeps 70% of the units where it is `keep_prob`, and 30% where it is a rate.",
    "The two readings agree only at 0.5: a test with 0.5 does not find the mistake.",
    "An accuracy measured while units are dropped is not that of the whole network.",
    "A name can mislead: what `stax.Dropout(rate)` calls its rate is the share that it keeps.",
]
onward("keep_or_drop", keeps, drops, "A number means nothing without its name", lessons)
