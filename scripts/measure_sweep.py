"""Run the sweep that the sweep page shows as its example; write assets/ten_seeds.parquet."""

from core.study.sweep import SWEEPS, Memory, sweep, table, to_parquet
from ui.sweep.example import RECORDED


def main() -> None:
    """Run the plan that the page begins with: ten seeds of the question with seven losses."""
    plan, store = next(iter(SWEEPS.values())).plan, Memory()
    for _ in sweep(plan, store):
        pass
    RECORDED.write_bytes(to_parquet(table(plan, store.done())))


if __name__ == "__main__":
    main()
