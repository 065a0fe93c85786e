"""The engine trains, generates and scores; it never imports the dashboard. Its rooms, from the last to the first:

commands    the command line's words -> calls, and what they print
queue       a configuration -> a run's folder and one process that does its work
serve       a resident process for the playground and the views of single tokens
planning    what a run will need and what stands in its way
kinds       what a run does: reward, policy, generate, score, ensemble, embed
model       networks: loaded and saved, packed, their log-probabilities and answers
data        a file of preferences -> cache/datasets/<id>/
statistics  what the tables say in numbers
store       folders under cache/ -> cache/align.duckdb
machine     devices, memory, disk, processes
settings    one frozen model of the options of each kind of run

A room uses only the rooms below it in this list.
"""

from pathlib import Path

__version__ = "0.1.0"
ROOT = Path(__file__).resolve().parent.parent  # of the checkout
