"""The visitor without a browser: which hosts it may visit, and its percentiles."""

import pytest

from tests.kit.visitor import LOOPBACK, Session, percentile


def test_the_client_speaks_to_this_machine_only():
    with pytest.raises(ValueError, match="allowed are the hosts"):
        Session("http://example.org:8501")
    for host in LOOPBACK:
        Session(f"http://[{host}]:1" if ":" in host else f"http://{host}:1")


def test_percentile_is_a_value_of_the_list():
    assert percentile([3.0, 1.0, 2.0], 0.95) == 3.0
    assert percentile(list(map(float, range(1, 101))), 0.95) == 95.0
    assert percentile([1.0], 0.5) == 1.0
