"""The atlas's command, from a table that lacks some of its runs."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.study.atlas import command
from core.study.atlas.comparisons import controls, name
from core.study.atlas.effects import ASSET, Recorded
from core.study.atlas.measure import known

pytestmark = pytest.mark.slow


def test_a_dask_cluster_measures_what_the_table_lacks(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    if known(ASSET) is None:
        pytest.skip("the table was made by another version of JAX, or on another device")
    gru = controls()["gru"]
    lost = [gru, replace(gru, model="gru_reset_after")]
    names = {name(config) for config in lost}
    whole, table = pq.read_table(ASSET), tmp_path / "table.parquet"
    kept = [row["nudged"] or row["run"] not in names for row in whole.to_pylist()]
    pq.write_table(whole.filter(pa.array(kept)), table)
    with distributed.LocalCluster(1, processes=False, dashboard_address=None) as cluster:
        options = "--scheduler", cluster.scheduler_address, "--table", str(table)
        assert command.main([*options, "--out", str(tmp_path / "runs")]) == 0
    then, now = Recorded(whole), Recorded(pq.read_table(table))
    assert then._accuracy.keys() == now._accuracy.keys()
    for config in lost:
        assert now.accuracy(config) == pytest.approx(then.accuracy(config), abs=1e-3)
