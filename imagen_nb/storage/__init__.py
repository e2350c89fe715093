"""What is kept of a picture on this machine: record, files, catalog, outbox, tags.

Other rooms use:
    adoption: `Adoption`, which takes files of other programs, and `SourceFile`
    catalog: `Catalog`, the index of a folder, and `CatalogEntry`
    catalog_rows: `utc_text`, a time as the catalog has it
    cost: `describe_price`, a price as a word
    credentials: `signer_of`, what signs pictures, if they are to be signed
    credentials_reading: `load_authorities`, who may vouch for those who sign
    discarding: `discard_picture` and `unsent_job_pictures`, of jobs that others drew
    drawing_queue: `DrawingQueue`, `DrawingRequest` and `QueuedDrawing`, what is to be drawn
    folders: `OutputFolders` and `OutputFolder`, where a session draws into
    foreign_file: `read_foreign_file`, and why a file cannot be adopted
    input_files: `load_inputs`, `recorded_inputs`: the images that a picture was drawn from
    jobs: `Job`, `JobRequest`, `JobNow` and `WorkerSeen`, rows of the queue of other
        machines
    media_types: `media_type_of_name`, the kind of a file by its suffix
    names: the names of a picture's files, and `slug`
    outbox: `Outbox` and `Lease`, what waits for the cloud, and `waiting_frame`
    output: `PictureFiles`, the PNG and sidecar files of a folder, and their records
    parents: `ParentLink`, that a picture was drawn from another one
    picture: `Picture`, one picture on disk, and what explains one that cannot be read
    record: `Record`, the facts of one picture, `UnsentTag` and `IMAGES_COLUMNS`
    reindex: `reindex`, which rebuilds a catalog
    removal_rows: `cancel_removals`, within a transaction
    removals: `QueuedRemoval`, what the cloud is still to remove, and `load_removals`
    scores: `ScoreStore` and `ScoredPicture`, what scorers say of a folder's pictures
    sent_votes: `unsent_votes` and `mark_votes_sent`, what the cloud lacks
    tags: `TagChange`, its makers, and the queue of changes for the cloud
    trash: `move_to_trash`, `restore_from_trash`, `queue_without_files` and
        `trashed_pictures`, deleted pictures
    trash_moves: `TRASH_DAYS`, how long a deleted picture can be restored
    vectors: `VectorStore`, what embedders say of a folder's pictures
    verification: `verify_picture`, whether a file is as it was made
    votes: `Vote` and `VoteStore`, which of two pictures is better; `standing`
    votes_csv: `parse_votes_csv` and `load_votes_text`, votes from a file
    watermark: `marker_of`, what writes an invisible one into pictures, if they are to have it
    writer: `Writer`, the thread that writes pictures, `RecordContext` and `ForeignPicture`
"""
