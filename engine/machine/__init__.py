"""The machine a run works on: its devices, memory, disk and processes."""
