"""Loads a FLUX pipeline and draws requests with it.

Other rooms use:
    card: `free_memory`
    drawing: `DrawCall`, one call of a backend's `draw`
    loaded: `LoadedModel`, `shared_model` and `in_memory`, the models in memory
    phases: `parts_of`, the batches that go through each phase together
    watch: `Clock` and `work_of`, the time that is left
"""
