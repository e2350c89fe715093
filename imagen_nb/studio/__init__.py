"""The session that wires requests, backends, files, catalog, cloud and history.

Other rooms use:
    studio: `Studio`, the session
    adopting: `AdoptReport`, what became of files of other programs
    deleting: `ids_to_delete` and `ids_to_restore`, what a user named
    effects: `effects`, which setting matters
    elsewhere.boxes: `describe_box`, `describe_ago`, of machines that draw for others
    elsewhere.handle: `RemoteJob`, a picture that another machine draws
    default: `studio`, the session behind `im.generate` and the other functions
    judging: `ranking` and `agreement`, what votes say of a frame
    optimizing.study: `Study`, a search of settings
    pictures: `Pictures`, several pictures with a contact sheet
    live: `LivePictures`, here and in the cloud as they come
    lookup: `Original` and `PictureRef`, a picture that was found and what names one
    progress: `StepWatcher` and `describe_seconds`, to show a drawing as it goes
    agents.drawing: `DrawingBounds`, how much an agent may draw
    agents.server: `serve` an agent over stdin and stdout
    remote.events: `WorkEvent`, what became of a job
    remote.worker: `JobWorker`, which draws what other machines ask for
    checkup.run: `run_checkup`, for `imagen doctor`
    autolog.switch: `autolog`, which records what pipelines of diffusers draw
"""
