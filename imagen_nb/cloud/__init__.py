"""The copy in the user's own Supabase: pictures in a private bucket, rows in a table.

Other rooms use:
    account: `NOT_CONFIGURED`, what to say if there is no account
    check: `configuration_warnings` and `check_server`, for `imagen config validate`;
        `cloud_warnings` and `secret_warnings`, its parts
    claims: `is_claimed_by`, whose a path in the bucket is
    client: `Cloud`, the client
    connection: `READER_CONNECT_S`, how long a reader waits for a connection
    database_url: `parse_database_url`, `explain_connection_error`, `first_line`
    errors: `UnreachableError`, `RefusedError`, `RejectedError`, `ObjectMissingError`
    filters: `in_filter`, `array_literal`, `url_chunks`, for PostgREST's addresses
    inputs: `download_input` and `upload_input`, images that pictures are drawn from;
        `fetch_input`, one known by its sha256
    jobs: `JobQueue`, the pictures that another machine draws
    keyset: `RowKey`, `key_of`, `last_key`, `moment_in_url`: pages by key
    live: `CloudWatch` and `LiveListener`, pictures told as they come
    local: `start`, `stop`, `status` of a local Supabase
    local.configure: `write_to_config`, `yaml_lines` of a local Supabase
    migrate: `apply_migrations`, `migration_states`, for `imagen db`
    picture_cache: `CloudPicture` and its file: fetched, cached or downloaded
    rows: `replace_nul`, for what PostgreSQL cannot hold
    sync: `drain`, which sends pictures of a catalog
    sync_report: `SyncReport` and `RepairReport`, what a sync and a repair did
    vectors: `find_in_cloud`, the pictures there that are nearest to a vector
    votes: `load_cloud_votes`, those of all machines
    uplink: `Uplink`, what a session does with the cloud
"""
