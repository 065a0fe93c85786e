"""What a run will need and what stands in its way, found out before it starts."""
