"""Record what diffusers pipelines draw in this program, without changing it.

Other rooms use:
    switch: `autolog`, which switches it on and off
"""
