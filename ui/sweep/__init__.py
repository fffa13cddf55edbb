"""The page of sweeps: its plan, its course, its results."""
