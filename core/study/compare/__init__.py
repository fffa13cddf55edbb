"""Two recordings of a first few steps compared: where they part, and what would explain it.

`recording.read` reads a file, `walk.compare` walks through two, `walk.look` through one;
`python -m core.study.compare a.safetensors b.safetensors` prints the walk. All of it is arithmetic
in float64 with NumPy on what was recorded: nothing is trained or compiled.
"""
