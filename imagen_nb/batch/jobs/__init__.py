"""Jobs: one notebook and the parameters of each run, from tables and grids."""
