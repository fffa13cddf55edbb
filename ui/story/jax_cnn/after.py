"""A look into each twin's trained network: it trains again when no run waits."""

from core.config import RunConfig
from core.run.errands import Errand
from core.run.prepare import device_data
from core.study.batch_norm import Evaluated
from core.study.convolutions import FirstLayer, trained
from ui.engine import engine
from ui.story.twin import Twins


def errand(config: RunConfig) -> Errand:
    """The errand that trains a run again and then looks into its network."""
    return engine().errands.look(
        ("after", config),
        lambda: trained(config, device_data(config)),
    )


def done(twins: Twins) -> bool:
    """True once every twin has been trained and looked into."""
    # Look at all of them first: an errand stops if nobody looks at it.
    errands = [errand(twin.config) for twin in twins]
    return all(each.done for each in errands)


def failure(twins: Twins) -> str:
    """The first error message, or "" if nothing failed."""
    return next(filter(None, (errand(twin.config).failure for twin in twins)), "")


def first_layer(config: RunConfig) -> FirstLayer | None:
    """The look into the first layer, or None until it is done."""
    pieces = errand(config).pieces
    return next((piece for piece in pieces if isinstance(piece, FirstLayer)), None)


def evaluated(config: RunConfig) -> list[Evaluated]:
    """The results of testing in batches that are known so far."""
    return [piece for piece in errand(config).pieces if isinstance(piece, Evaluated)]
