"""The session that wires requests, backends, files, catalog, cloud and history.

Other rooms use:
    studio: `Studio`, the session
    adopting: `AdoptReport`, what became of files of other programs
    deleting: `ids_to_delete` and `ids_to_restore`, what a user named
    default: `studio`, the session behind `im.generate` and the other functions
    pictures: `Pictures`, several pictures with a contact sheet
    live: `LivePictures`, here and in the cloud as they come
    lookup: `Original` and `PictureRef`, a picture that was found and what names one
    progress: `StepWatcher` and `describe_seconds`, to show a drawing as it goes
    agents.drawing: `DrawingBounds`, how much an agent may draw
    agents.server: `serve` an agent over stdin and stdout
    checkup.run: `run_checkup`, for `imagen doctor`
    autolog.switch: `autolog`, which records what pipelines of diffusers draw
"""
