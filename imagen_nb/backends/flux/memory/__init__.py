"""Decides how a model is held in this machine's memory.

Other rooms use:
    plan: `MemoryPlan`, `Machine`: the plans, and what there is to draw with
    estimate: `Demand`, `demand_of` requests: what is drawn, as far as memory goes
    machine: `plan_for` a model on this machine or another
    choice: `PlanChoice`: the plan that fits, and smaller ones
    keys: `MEMORY_KEYS`, `validated_memory`: what a user may set of a plan
    words: `explain_plan`, `describe_machine`, `plan_as_data`
"""
