"""Loads a FLUX pipeline and draws requests with it.

Other rooms use:
    drawing: `DrawCall`, one call of a backend's `draw`
    encoders: `free_memory`
    loaded: `LoadedModel`, `shared_model` and `in_memory`, the models in memory
    loading: `CardMemoryError`
    phases: `parts_of`, the batches that go through each phase together
    watch: `Clock` and `work_of`, the time that is left
"""
