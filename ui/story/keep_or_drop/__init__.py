"""What only the story of one dropout number draws."""
