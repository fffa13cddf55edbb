"""What only the story of 79% or 91% draws."""
