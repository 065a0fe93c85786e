"""Networks: loaded and saved, packed into batches, their attention, log-probabilities and decoding."""
