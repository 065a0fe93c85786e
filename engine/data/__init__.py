"""Preference pairs: records and turns, formats, sources, datasets and finished results made elsewhere."""
