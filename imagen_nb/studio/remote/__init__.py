"""Pictures that one machine asks for and another one draws, through the user's Supabase.

Other rooms use:
    worker: `JobWorker`, which draws what other machines ask for
    events: `WorkEvent`, what became of a job there
"""
