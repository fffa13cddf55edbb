"""What only the story of three lines draws."""
