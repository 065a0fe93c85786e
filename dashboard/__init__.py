"""Pages, figures and report: everything that is seen. It reads the database and submits runs; the engine does the work."""
