"""What a story is told with; each piece is usable by any story."""
