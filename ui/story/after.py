"""A twin's network after its training, which is done once more for it, behind everybody's runs."""

from core.config import RunConfig
from core.run.errands import Errand
from core.run.prepare import device_data
from core.study.batch_norm import Evaluated
from core.study.convolutions import Seen, trained
from ui.engine import engine
from ui.story.twin import Twins

POLL_SECONDS = 0.5


def errand(config: RunConfig) -> Errand:
    """How far the training and what is looked at after it are."""
    return engine().errands.look(
        ("after", config),
        lambda: trained(config, device_data(config)),
    )


def done(twins: Twins) -> bool:
    """Whether all that is looked at is there."""
    looks = [errand(twin.config) for twin in twins]  # at every one: a look keeps it going
    return all(look.done for look in looks)


def failure(twins: Twins) -> str:
    """What went wrong, or nothing."""
    return next(filter(None, (errand(twin.config).failure for twin in twins)), "")


def seen(config: RunConfig) -> Seen | None:
    """The first layer, once it is there."""
    pieces = errand(config).pieces
    return next((piece for piece in pieces if isinstance(piece, Seen)), None)


def evaluated(config: RunConfig) -> list[Evaluated]:
    """The test images answered in batches, as far as that has come."""
    return [piece for piece in errand(config).pieces if isinstance(piece, Evaluated)]
