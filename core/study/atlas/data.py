"""Pieces about the data: their order, their batches and their pixels."""

from core.study.atlas.piece import Default, Piece, Value
from core.study.atlas.shared import optax

_FIT = "model.fit(x, labels, batch_size=100, epochs=2, verbose=0{})"
_LOADER = "torch.utils.data.DataLoader(data, batch_size=100{})"
_DATASET = "batches = tf.data.Dataset.from_tensor_slices(x){}.batch(100{})"
_KERAS_FIT = "keras/src/backend/jax/trainer.py, JAXTrainer.fit"
_TORCH = "torch/utils/data/dataloader.py, DataLoader"
_TF_DATA = "tensorflow/python/data/ops/dataset_ops.py, DatasetV2"
_STANDARD = "(x / 255 - 0.1307) / 0.3081"

PIECES = [
    Piece(
        key="shuffling",
        label="shuffling",
        topic="data",
        summary="Every epoch, as Keras's fit does with arrays, or never, as others do unless told. "
        "With data sorted by label it decides everything.",
        contexts=("adam", "sgd", "sorted", "sorted_sgd"),
        values={
            "every_epoch": Value(
                label="every epoch",
                settings={"shuffle": "every_epoch"},
                write={
                    "keras": _FIT.format(", shuffle=True"),
                    "torch": f"batches = {_LOADER.format(', shuffle=True')}",
                    "tf1": _DATASET.format(".shuffle(len(x))", ""),
                },
            ),
            "once": Value(
                label="once",
                settings={"shuffle": "once"},
                write={
                    "keras": "order = np.random.permutation(len(x))\nx, labels = x[order], "
                    f"labels[order]\n{_FIT.format(', shuffle=False')}",
                    "torch": "data = torch.utils.data.Subset(data, torch.randperm(len(data)))\n"
                    f"batches = {_LOADER.format(', shuffle=False')}",
                    "tf1": _DATASET.format(".shuffle(len(x), reshuffle_each_iteration=False)", ""),
                },
            ),
            "never": Value(
                label="never",
                settings={"shuffle": "never"},
                write={
                    "keras": _FIT.format(", shuffle=False"),
                    "torch": f"batches = {_LOADER.format(', shuffle=False')}",
                    "tf1": _DATASET.format("", ""),
                },
            ),
            "buffer": Value(
                label="through a buffer of 1000",
                settings={"shuffle": "buffer", "shuffle_buffer": 1000},
                write={"tf1": _DATASET.format(".shuffle(1000)", "")},
            ),
        },
        defaults={
            "keras": Default(
                value="every_epoch",
                source=_KERAS_FIT,
                note="For arrays; a tf.data.Dataset or a generator comes in its own order.",
            ),
            "torch": Default(value="never", source=_TORCH),
            "tf1": Default(value="never", source=_TF_DATA, note="Of tf.data."),
        },
    ),
    Piece(
        key="batch_size",
        label="batch size",
        topic="data",
        summary="32 images, or one.",
        values={
            "32": Value(
                label="32",
                settings={"batch_size": 32},
                write={
                    "keras": "model.fit(x, labels, batch_size=32, verbose=0)",
                    "torch": "batches = torch.utils.data.DataLoader(data, batch_size=32)",
                },
            ),
            "100": Value(
                label="100",
                settings={"batch_size": 100},
                write={
                    "keras": "model.fit(x, labels, batch_size=100, verbose=0)",
                    "torch": "batches = torch.utils.data.DataLoader(data, batch_size=100)",
                },
            ),
            "1": Value(
                label="1",
                write={
                    "keras": "model.fit(x, labels, batch_size=1, verbose=0)",
                    "torch": "batches = torch.utils.data.DataLoader(data, batch_size=1)",
                },
            ),
        },
        defaults={
            "keras": Default(value="32", source=_KERAS_FIT),
            "torch": Default(value="1", source=_TORCH),
        },
    ),
    Piece(
        key="last_batch",
        label="the last, partial batch",
        topic="data",
        summary="Images left over at the end of an epoch make a small batch, or are left out.",
        contexts=("batch_128",),
        values={
            "kept": Value(
                label="kept",
                settings={"last_batch": "kept"},
                write={
                    "keras": _FIT.format(""),
                    "torch": f"batches = {_LOADER.format(', drop_last=False')}",
                    "tf1": _DATASET.format("", ", drop_remainder=False"),
                },
            ),
            "dropped": Value(
                label="dropped",
                settings={"last_batch": "dropped"},
                write={
                    "keras": "whole = len(x) // 100 * 100\nx, labels = x[:whole], labels[:whole]\n"
                    f"{_FIT.format('')}",
                    "torch": f"batches = {_LOADER.format(', drop_last=True')}",
                    "tf1": _DATASET.format("", ", drop_remainder=True"),
                },
            ),
        },
        defaults={
            "keras": Default(value="kept", source=_KERAS_FIT),
            "torch": Default(value="kept", source=_TORCH),
            "tf1": Default(value="kept", source=_TF_DATA, note="Of tf.data."),
        },
    ),
    Piece(
        key="pixels",
        label="the scale of pixels",
        topic="data",
        summary="Bytes as they are stored, or divided by 255, as one loader does and others leave "
        "to the program.",
        contexts=("adam", "sgd", "slow_sgd"),
        values={
            "bytes": Value(
                label="0 to 255",
                settings={"scaling": "raw"},
                write={
                    "keras": "x = x.astype(np.float32)",
                    "torch": "x = torchvision.transforms.ToTensor()(picture) * 255",
                    **optax("x = x.astype(np.float32)"),
                    "tf1": "x = x.astype(np.float32)",
                },
            ),
            "unit": Value(
                label="0 to 1",
                latex=r"x = \mathrm{pixel} / 255",
                settings={"scaling": "unit"},
                write={
                    "keras": "x = x / 255",
                    "torch": "x = torchvision.transforms.ToTensor()(picture)",
                    **optax("x = x / 255"),
                    "tf1": "x = x / 255",
                },
            ),
            "standardised": Value(
                label="mean 0, spread 1",
                latex=r"x = (\mathrm{pixel}/255 - 0.1307) / 0.3081",
                settings={"scaling": "standardised"},
                write={
                    "keras": f"x = {_STANDARD}",
                    "torch": "x = torchvision.transforms.ToTensor()(picture)\n"
                    "x = torchvision.transforms.Normalize(0.1307, 0.3081)(x)",
                    **optax(f"x = {_STANDARD}"),
                    "tf1": f"x = {_STANDARD}",
                },
            ),
        },
        defaults={
            "keras": Default(
                value="bytes", source="keras/src/datasets/mnist.py, load_data", note="As uint8."
            ),
            "torch": Default(
                value="unit",
                source="torchvision/transforms/functional.py, to_tensor",
                note="The data set itself gives pictures; the usual transform divides them.",
            ),
            **{
                name: Default(
                    value="bytes",
                    source="tensorflow_datasets/image_classification/mnist.py, MNIST",
                    note="As uint8, from the loader that its examples use.",
                )
                for name in ("flax", "tf1")
            },
        },
    ),
]
