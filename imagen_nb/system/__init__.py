"""What knows nothing of pictures: files, processes, terminals, pages, imports."""
