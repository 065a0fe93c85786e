"""The engine trains, generates and scores; it never imports the dashboard.

a file of preferences -> formats -> datasets_io -> cache/datasets/<id>/
a configuration       -> jobs    -> cache/runs/<id>/, one process that runs run.py
pairs -> batches -> models + losses -> train      a reward model or a policy
prompts -> generate                               answers
answers -> score                                  rewards
every folder under cache/ -> store -> cache/align.duckdb
metrics/ says in numbers what the tables hold
"""
