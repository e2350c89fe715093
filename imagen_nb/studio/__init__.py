"""The session that wires requests, backends, files, catalog, cloud and history.

Other rooms use:
    studio: `Studio`, the session
    default: `studio`, the session behind `im.generate` and the other functions
    pictures: `Pictures`, several pictures with a contact sheet
    lookup: `Original`, `PictureRef`: what a picture is found by
    progress: `StepWatcher`, `describe_seconds`: a drawing as it goes
    autolog.switch: `autolog`, which records pipelines of diffusers
"""
