"""On a server's path, this has it show the CNN's story with few steps, as tests of pages do."""

from tests.smaller import few_steps_of_the_cnn

few_steps_of_the_cnn()
