"""What is kept: run folders and their files, the DuckDB database and its schema, progress."""
