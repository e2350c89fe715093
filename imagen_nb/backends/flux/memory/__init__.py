"""Decides how a model is held in this machine's memory.

Other rooms use:
    plan: `MemoryPlan`, `Machine`, `PlanChoice`: the plans, and which one fits
    machine: `plan_for` a model on this machine or another
    keys: `MEMORY_KEYS`, `validated_memory`: what a user may set of a plan
    words: `explain_plan`, `describe_machine`, `plan_as_data`
"""
