"""The options that XLA compiles a run's functions with."""

import os
from collections.abc import Mapping
from typing import Any

import jax

OFTEN: dict[str, Any] = {}  # for the loop over steps: what the process compiles everything with
# For what looks at a run: without its fusion emitters XLA takes 1 to 44% less CPU to compile a look
# (six networks), and the look takes about as long as before. A step takes up to half as long again
# without them, so the loop over steps keeps them (two cores, JAX 0.10.2).
SELDOM: dict[str, Any] = {"xla_cpu_use_fusion_emitters": False}
# For what runs once in a run or an epoch: the same bits, in less time to compile. A CNN's
# weights took 1.8 s of CPU instead of 10.3, on two cores with JAX 0.10.2.
ONCE: dict[str, Any] = {**SELDOM, "xla_backend_optimization_level": "1"}
# In one piece instead of 32 a look takes an eighth less of one core to compile, for the same
# bits; on two cores there is no difference, and on many the pieces go side by side.
FEW_CORES = 2
IN_ONE_PIECE: dict[str, Any] = {"xla_cpu_parallel_codegen_split_count": "1"}
# XLA gives nearly all of the CNN's convolutions to YNNPACK, which computes each on one core; Eigen
# takes all cores. With only products left to YNNPACK a step of the CNN took 0.72 to 0.84 of the
# time, and 1.09 to 1.26 of the CPU seconds (two cores, JAX 0.10.2; eight runs side by side).
ON_ALL_CORES: dict[str, Any] = {
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"
}


def for_this_host(options: Mapping[str, Any], convolves: bool = False) -> dict[str, Any]:
    """The options that XLA compiles with here: those of a CPU only on a CPU.

    An accelerator's program has no use for them, and where JAX is newer than ours XLA may not
    know them: it then compiles nothing (H200, JAX 0.11.2).
    """
    if jax.default_backend() != "cpu":
        return {name: value for name, value in options.items() if not name.startswith("xla_cpu_")}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    few = cores is not None and cores <= FEW_CORES
    own = {**(IN_ONE_PIECE if few else {}), **(ON_ALL_CORES if convolves and cores != 1 else {})}
    return {**own, **options}
