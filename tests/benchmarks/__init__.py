"""Prefscope beside the tools people would use otherwise, on the same pairs, weights, batch and precision: `./run.sh bench --help`.

workloads.py    which pairs                 prepare.py   their tokens and the models, on disk
plan.py         what is beside what         measure.py   a task, its own process, its measurement
engine_sides.py · trl_sides.py · plain_sides.py · table_sides.py   one function for each thing that is measured
machine.py      its limit in matrix products, its description, peak memory
results.py      medians, ratios, the table and the JSON
"""
