"""FLUX on this machine: models, weights, LoRAs, schedulers, memory plans and drawing.

Imports no backend: the configuration reads `memory.keys`, and must not load diffusers.

Other rooms use:
    backend: `preset_of`, what makes the backend of a model; the registered backends
    models: `Model`, `LOCAL_MODELS`, `short_name`, `SCHNELL_DEFAULTS`, `DEV_DEFAULTS`
    custom: `custom_model`, any folder or Hugging Face id of FLUX layout
    schedulers: `SCHEDULERS` by name
    loras: `parse_lora` of a command line, `loras_of_record`
    lora_files: `lora_rows`, the LoRAs of a folder
    libraries: `library_versions`
    bench: `time_plans`, `timings_as_markdown`
    random_weights.architectures: `TINY_MODEL`, which draws anywhere
    random_weights.layout: `temporary_model`, full size, no download
    memory.keys: `MEMORY_KEYS`, `validated_memory`: what may be set
    memory.machine: `plan_for` a model and machine, `this_machine`, `gb_as_sold`
    memory.plan: `Machine`, what there is to draw with
    memory.ram: `total_ram_gb`, what this process may use
    memory.words: `describe_machine`, `explain_plan`, `plan_as_data`
    drawing.loaded: `LoadedModel`, a model in memory
    drawing.watch: `Clock`, how long drawing takes and will take
"""
