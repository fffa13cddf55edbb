"""Train a run: a RunConfig in, snapshots out.

Everything scalar is traced (`Knobs`), so that moving a slider compiles nothing; what
fixes shapes or structure is static (`Shape`) and has one compiled `Program`.
"""

from core.run.train.gradient import Backprop, losses_and_slopes
from core.run.train.looking import Looking
from core.run.train.loop import (
    Measurements,
    NextLook,
    ahead,
    first_look,
    look_interval,
    looks_at_epochs,
    looks_of,
    run,
    snapshot_steps,
    ticks,
)
from core.run.train.options import OFTEN, ONCE, SELDOM, for_this_host
from core.run.train.programs import Program, compiled, let_go_of_program, program, programs_kept
from core.run.train.step import Step, bytes_needed, numerics, parameters, start_types
from core.run.train.vocabulary import (
    DeviceData,
    Knobs,
    Shape,
    State,
    Weights,
    dropping,
    knobs,
    labels_of,
    norming,
    on_device,
    pixels,
    shape,
)

__all__ = [
    "OFTEN", "ONCE", "SELDOM", "Backprop", "DeviceData", "Knobs", "Looking", "Measurements",
    "NextLook", "Program", "Shape", "State", "Step", "Weights", "ahead", "bytes_needed",
    "compiled", "dropping", "first_look", "for_this_host", "knobs", "labels_of",
    "let_go_of_program", "look_interval", "looks_at_epochs", "looks_of", "losses_and_slopes",
    "norming", "numerics", "on_device", "parameters", "pixels", "program", "programs_kept",
    "run", "shape", "snapshot_steps", "start_types", "ticks",
]  # fmt: skip
