"""What a run does, one module for each kind of run, and what they share: losses, pairs and the training loop."""
