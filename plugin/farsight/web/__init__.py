"""HTTP: two doors, one table of routes, transport-free handlers."""
