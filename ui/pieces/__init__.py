"""What pages draw with: charts, widgets, words, and the digits that a visitor chose."""
