"""The microscope, which shows why a loss stops learning."""
