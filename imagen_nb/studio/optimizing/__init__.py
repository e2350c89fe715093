"""Searching settings and prompts: trials that are drawn, scored and kept.

space: what may vary; goals: what is to be high or low; votes: what people prefer;
sampling: which trials come next, by Optuna; study_file: what is kept; running: the loop;
study: what the user gets; session: `Studio.optimize`.
"""
