"""The comparison's page: two recordings, the walk through both, and what is blamed."""
