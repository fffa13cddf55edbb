"""Arrays in, Vega-Lite out."""
