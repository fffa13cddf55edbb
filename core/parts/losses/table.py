"""LOSSES: one row for each loss, ordered by what the loss is computed from."""

from core.parts.losses import (
    clipped,
    exact,
    keras,
    mxnet,
    squared,
    tensorflow,
    textbook,
    theano,
    torch,
)
from core.parts.losses.own import Losses
from core.parts.losses.row import Form, Loss


def _symmetric(epsilon: float) -> tuple[float, float]:
    return epsilon, 1 - epsilon


_KERAS = "Keras 3.15 binary_crossentropy and categorical_crossentropy"

LOSSES = Losses(
    "losses",
    [
        Loss(
            key="naive_exp",
            label="Naive, exp over its sum",
            latex=r"-\log\frac{e^{z_y}}{\sum_j e^{z_j}}",
            summary="Softmax as exp(z) over its sum, with no maximum subtracted, then the log.",
            failure=(
                "For large logits exp or the sum overflows, even if all are equal, and the loss is "
                "NaN or inf. The same happens once the probability of any class rounds to 0."
            ),
            works_on="probability",
            reference="The formula as a first try writes it; measured on JAX 0.10.2",
            binary=None,
            softmax=textbook.naive_exp_softmax,
            kills="jnp.exp(logits) / total",
        ),
        Loss(
            key="naive",
            label="Naive",
            latex=r"-y\log p-(1-y)\log(1-p),\quad p=\sigma(z)",
            summary="The textbook formula, from a probability that has already been rounded.",
            failure=(
                "Once the probability of a label rounds to 0, its log is -inf, and 0 times that is "
                "NaN: a wrong answer gives inf or NaN, and even a right one gives NaN."
            ),
            works_on="probability",
            reference="The question's first function; measured on JAX 0.10.2",
            binary=textbook.naive,
            softmax=textbook.naive_softmax,
            kills="* log(p)",
        ),
        Loss(
            key="mxnet",
            label="MXNet Gluon, from_sigmoid",
            latex=r"-y\log(p+\varepsilon)-(1-y)\log(1-p+\varepsilon)",
            summary="Add a tiny epsilon inside each log instead of clipping.",
            failure=(
                "The gradient shrinks once the label's probability is below epsilon, and is 0 "
                "once that probability rounds to 0. In float16 an epsilon of 1e-12 is itself 0."
            ),
            works_on="probability",
            reference="MXNet Gluon SigmoidBinaryCrossEntropyLoss; read in source, not run",
            binary=mxnet.from_sigmoid,
            softmax=None,
            kills="jnp.log(x + e)",
            epsilon=1e-12,
        ),
        Loss(
            key="torch_bce",
            label="PyTorch BCELoss",
            latex=(
                r"-y\max(\log p,-100)-(1-y)\max(\log(1-p),-100),\quad "
                r"\frac{dL}{dp}=\frac{p-y}{\max(p(1-p),10^{-12})}"
            ),
            summary="Keep each log at -100 or above, and use a hand-written gradient.",
            failure=(
                "The loss is never above 100. Once p(1 - p) is below 1e-12, the gradient shrinks "
                "with it, down to 0."
            ),
            works_on="probability",
            reference="torch.nn.BCELoss, PyTorch 2.13",
            binary=torch.bce,
            softmax=None,
            kills="jnp.maximum((1 - p) * p, floor)",
        ),
        Loss(
            key="theano_onehot",
            label="Lasagne on Theano, one-hot labels",
            latex=r"\log\sum_j e^{z_j}-z_y,\quad\nabla=\mathrm{SoftmaxGrad}(-y/p)",
            summary="Theano makes the forward pass stable but keeps the naive backward pass.",
            failure=(
                "The loss stays finite, but the gradient is 0/0 = NaN once the probability of any "
                "class rounds to 0."
            ),
            works_on="probability",
            reference="Lasagne 0.1 on Theano 0.8.2, FAST_RUN; Lasagne issue 567",
            binary=None,
            softmax=theano.one_hot_labels,
            kills="logits) / p",
        ),
        Loss(
            key="clip",
            label="Clip, then naive",
            latex=(
                r"-y\log q-(1-y)\log(1-q),\quad "
                r"q=\mathrm{clip}(p,\varepsilon,1-\varepsilon)"
            ),
            summary="Clip p to [epsilon, 1 - epsilon], then take the logs.",
            failure=(
                "Outside the clip the gradient is exactly 0: such a sample is silent. If p is "
                "exactly at a limit of the clip, the gradient is halved."
            ),
            works_on="clipped probability",
            reference="Measured on JAX 0.10.2 (jnp.clip)",
            binary=clipped.clip,
            softmax=clipped.clip_softmax,
            kills="jnp.clip(",
            epsilon=1e-7,
            clip_range=_symmetric,
        ),
        Loss(
            key="question_stable",
            label='The question\'s "stable" loss',
            latex=(
                r"\hat z-\hat z y+m+\log(e^{-m}+e^{-\hat z-m}),\quad "
                r"\hat z=\log\tfrac{q}{1-q},\ m=\max(\hat z,0),\ "
                r"q=\mathrm{clip}(p,\varepsilon,1-\tfrac{\varepsilon}{10})"
            ),
            summary="Clip p, turn it back into a logit, then use a stable formula on that logit.",
            failure=(
                "The stable formula comes after the clip. Outside the clip the gradient is exactly "
                "0; if p is exactly at a limit of the clip, the gradient is halved."
            ),
            works_on="clipped probability",
            reference="The question's binary_cross_entropy_stable; measured on JAX 0.10.2",
            binary=clipped.question_stable,
            softmax=None,
            kills="jnp.clip(sigmoid(logits)",
            epsilon=1e-6,
            clip_range=lambda epsilon: (epsilon, 1 - epsilon / 10),
        ),
        Loss(
            key="keras_jax",
            label="Keras 3 on JAX",
            latex=r"-y\log q-(1-y)\log(1-q),\quad q=\mathrm{clip}(p,10^{-7},1-10^{-7})",
            summary="Keras clips the probability to its epsilon; it cannot see the logits.",
            failure=(
                "Outside the clip the gradient is exactly 0: such a sample is silent. If p is "
                "exactly at a limit of the clip, the gradient is halved."
            ),
            works_on="clipped probability",
            reference=_KERAS + ", from_logits=False, on JAX 0.10.2",
            binary=keras.on_jax,
            softmax=keras.on_jax_softmax,
            kills="jnp.clip(",
            epsilon=1e-7,
            clip_range=_symmetric,
        ),
        Loss(
            key="keras_torch",
            label="Keras 3 on PyTorch",
            latex=r"\mathrm{BCELoss}(q,y),\quad q=\mathrm{clip}(p,10^{-7},1-10^{-7})",
            summary="Keras clips the probability, then calls PyTorch's own loss on it.",
            failure="Outside the clip the gradient is exactly 0: such a sample is silent.",
            works_on="clipped probability",
            reference=_KERAS + ", from_logits=False, on PyTorch 2.13",
            binary=keras.on_torch,
            softmax=keras.on_torch_softmax,
            kills="jnp.where(p < low",
            epsilon=1e-7,
            clip_range=_symmetric,
        ),
        Loss(
            key="keras_tf_hidden",
            label="Keras 3 on TensorFlow, logits hidden",
            latex=r"-y\log q-(1-y)\log(1-q),\quad q=\mathrm{clip}(p,10^{-7},1-10^{-7})",
            summary=(
                "A layer after the sigmoid that makes a new tensor, such as Reshape or Dense, "
                "hides the logits, so Keras clips."
            ),
            failure="Outside the clip the gradient is exactly 0: such a sample is silent.",
            works_on="clipped probability",
            reference=_KERAS + ", from_logits=False with the logits hidden, on TensorFlow 2.21",
            binary=keras.on_tensorflow_hidden,
            softmax=keras.on_tensorflow_hidden_softmax,
            kills="jnp.where(p < low",
            epsilon=1e-7,
            clip_range=_symmetric,
        ),
        Loss(
            key="keras1_tf",
            label="Keras 1.0 to 2.2.4 on TensorFlow",
            latex=(
                r"\max(\hat z,0)-\hat z y+\log(1+e^{-|\hat z|}),\quad "
                r"\hat z=\log\tfrac{q}{1-q}"
            ),
            summary="Clip p, turn it back into a logit, and hand that to TensorFlow's stable loss.",
            failure=(
                "The stable loss comes after the clip: outside the clip the gradient is exactly 0."
            ),
            works_on="clipped probability",
            reference="Keras 1.0 to 2.2.4, TensorFlow backend; read in source, not run",
            binary=keras.keras_1_on_tensorflow,
            softmax=None,
            kills="jnp.where(p < low",
            epsilon=1e-7,
            clip_range=_symmetric,
        ),
        Loss(
            key="keras2_tf",
            label="tf.keras 2, logits hidden",
            latex=(
                r"-y\log(q+\varepsilon)-(1-y)\log(1-q+\varepsilon),\quad "
                r"q=\mathrm{clip}(p,10^{-7},1-10^{-7})"
            ),
            summary="Clip p, then add the same epsilon again inside each log.",
            failure=(
                "Outside the clip the gradient is exactly 0. Near its ends the second epsilon "
                "halves it: at p = epsilon, a wrong answer has half the gradient of the clip alone."
            ),
            works_on="clipped probability",
            reference="keras.backend.binary_crossentropy of Keras 2 with TensorFlow 2 where it "
            "does not find the logits; tf_keras 2.21",
            binary=keras.keras_2_on_tensorflow,
            softmax=None,
            kills="jnp.where(p < low",
            epsilon=1e-7,
            clip_range=_symmetric,
        ),
        Loss(
            key="theano_int",
            label="Lasagne on Theano, integer labels",
            latex=r"\log\sum_j e^{z_j}-z_y",
            summary="With integer labels Theano recognises the pattern, forward and backward.",
            failure=(
                "None while the answer is wrong. If it is right, a gradient below the last bit of "
                "1, or a loss below the last bit of the logit, comes out as 0."
            ),
            works_on="logits",
            reference="Lasagne 0.1 on Theano 0.8.2; Lasagne issue 567",
            binary=None,
            softmax=theano.integer_labels,
            integers=True,
        ),
        Loss(
            key="torch_bce_logits",
            label="PyTorch BCEWithLogitsLoss and CrossEntropyLoss",
            latex=r"(1-y)z-\log\sigma(z)",
            summary="PyTorch's losses on logits: log-sigmoid, and log-softmax.",
            failure=(
                "None while the answer is wrong. If it is right, a gradient below the last bit of "
                "1, or a loss below the last bit of the logit, may come out as 0."
            ),
            works_on="logits",
            reference="torch.nn.BCEWithLogitsLoss and CrossEntropyLoss, PyTorch 2.13",
            binary=torch.bce_logits,
            softmax=torch.cross_entropy,
        ),
        Loss(
            key="optax",
            label="optax",
            latex=r"-y\log\sigma(z)-(1-y)\log\sigma(-z)",
            summary="optax's losses on logits; with classes, log-sum-exp minus the label's logit.",
            failure=(
                "None while the answer is wrong. With classes, if it is right, a gradient below "
                "the last bit of 1, or a loss below the last bit of the logit, comes out as 0."
            ),
            works_on="logits",
            reference=(
                "optax 0.2.8 sigmoid_binary_cross_entropy and "
                "softmax_cross_entropy_with_integer_labels"
            ),
            binary=exact.optax_binary,
            softmax=exact.optax_softmax,
            integers=True,
        ),
        Loss(
            key="keras_jax_logits",
            label="Keras 3 on JAX, from_logits=True",
            latex=r"-y\log\sigma(z)-(1-y)\log\sigma(-z)",
            summary="The same Keras, told that it is given logits: log-sigmoid and log-softmax.",
            failure=(
                "None while the answer is wrong. With classes, if it is right, a gradient or a "
                "loss below the last bit of 1 comes out as 0."
            ),
            works_on="logits",
            reference=_KERAS + ", from_logits=True, on JAX 0.10.2; optax 0.2.8",
            binary=keras.on_jax_logits,
            softmax=exact.log_softmax_one_hot,
        ),
        Loss(
            key="keras_tf",
            label="Keras 3 on TensorFlow",
            latex=r"\max(z,0)-zy+\log(1+e^{-|z|})",
            summary="Keras finds the logits behind the sigmoid or softmax, and uses those.",
            failure=(
                "None unless a layer in between hides the logits. With classes, if the answer is "
                "right, a gradient or a loss below the last bit of 1 comes out as 0."
            ),
            works_on="logits",
            reference=_KERAS + ", from_logits=False, on TensorFlow 2.21",
            binary=exact.from_logits,
            softmax=tensorflow.softmax_logits,
        ),
        Loss(
            key="from_logits",
            label="From logits",
            latex=r"\max(z,0)-zy+\log(1+e^{-|z|})",
            summary="Use the logit itself: the probability is never formed, so never rounded.",
            failure=(
                "None: at every logit the gradient is p - y (in float32 to five digits), until it "
                "is too small for the format."
            ),
            works_on="logits",
            reference=(
                "Keras 3.15 binary_crossentropy, from_logits=True, on TensorFlow 2.21; with "
                "classes, Samenet's own"
            ),
            binary=exact.from_logits,
            softmax=exact.from_logits_softmax,
        ),
        Loss(
            key="mse_broadcast",
            label="Squared error, broadcast",
            latex=r"\frac{1}{T^2}\sum_{t,s}(p_t-y_s)^2",
            summary="The post's loss: each prediction is compared with every target of its series.",
            failure=(
                "It is smallest if every prediction is the mean of all the series' targets. The "
                "array of differences has one axis too many, and no error is raised."
            ),
            works_on="predictions",
            reference="Getting started with JAX (a post): preds (time, batch, 1), targets "
            "(batch, time)",
            binary=None,
            softmax=None,
            regression=squared.broadcast,
        ),
        Loss(
            key="mse_aligned",
            label="Squared error, aligned",
            latex=r"\frac{1}{T}\sum_t(p_t-y_t)^2",
            summary="Each prediction is compared with its own target.",
            failure="None: the shapes agree.",
            works_on="predictions",
            reference="optax.losses.squared_error, optax 0.2.8",
            binary=None,
            softmax=None,
            regression=squared.aligned,
        ),
    ],
)


def losses_for(form: Form) -> tuple[str, ...]:
    """The keys of the rows that have this form, in the table's order."""
    return tuple(key for key, row in LOSSES.items() if getattr(row, form) is not None)
