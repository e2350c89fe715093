"""Record what diffusers pipelines draw in this program, without changing it."""
