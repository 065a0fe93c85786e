"""A run is a folder and at most one process: submitted, launched, watched, alone or as a preset or a study."""
