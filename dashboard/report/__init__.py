"""Every figure and table as files."""
