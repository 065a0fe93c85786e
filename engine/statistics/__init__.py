"""Numbers and arrays in, estimates out; and the tables of groups, studies and the summary made of them."""

from engine.statistics import answers, lengths, rewards  # their statistics register themselves

__all__ = ["answers", "lengths", "rewards"]
