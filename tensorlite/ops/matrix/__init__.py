"""Linear algebra under torch's names: what `tensorlite.linalg` and the functions at the top are."""
