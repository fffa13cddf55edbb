"""The atlas of defaults: what frameworks do where nothing is said, and what that does to a run."""
