"""On a server's path, this has it show the stories with few steps."""

from tests.smaller import few_steps

few_steps()
