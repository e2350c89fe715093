"""What works on this machine and what does not, with the line that mends it."""
