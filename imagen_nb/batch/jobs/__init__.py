"""Jobs: one notebook and its parameters each, from tables and grids."""
