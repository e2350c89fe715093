BEGIN TRANSACTION;
CREATE TABLE images (
          id TEXT PRIMARY KEY,
          owner_user_id TEXT,
          prompt TEXT NOT NULL,
          prompt_hash TEXT,
          backend TEXT NOT NULL,
          model TEXT, seed INTEGER, steps INTEGER, width INTEGER, height INTEGER,
          latency_ms INTEGER,
          cost_usd_estimate REAL,
          storage_path TEXT NOT NULL,
          sidecar TEXT NOT NULL,        -- JSON, as in the file
          tags TEXT NOT NULL,           -- JSON array
          created_at TEXT NOT NULL,     -- UTC, always with microseconds: sorts as text
          path TEXT NOT NULL UNIQUE,    -- below the output folder, with forward slashes
          sidecar_path TEXT NOT NULL,
          cloud_state TEXT NOT NULL CHECK (cloud_state IN ('pending', 'synced', 'off', 'failed')),
          cloud_error TEXT,
          updated_at TEXT NOT NULL
        , sender TEXT) STRICT
        ;
INSERT INTO "images" VALUES('00000000-0000-4000-8000-000000001b59',NULL,'a red boat at sunset','5f90b458def8b6834cc2a14018ba5a27b25d63d5fc7c73b5e42e16e0f7ef34a5','flux-tiny-local','flux-tiny',11,4,8,8,120,0.0,'2026-11-27/a-red-boat-at-sunset-11.png','{
  "schema_version": 1,
  "id": "00000000-0000-4000-8000-000000001b59",
  "owner_user_id": null,
  "prompt": "a red boat at sunset",
  "backend": "flux-tiny-local",
  "model": "flux-tiny",
  "seed": 11,
  "steps": 4,
  "width": 8,
  "height": 8,
  "latency_ms": 120,
  "cost_usd_estimate": 0.0,
  "storage_path": "2026-11-27/a-red-boat-at-sunset-11.png",
  "tags": [
    "boats",
    "sea"
  ],
  "created_at": "2026-11-27T12:01:00Z",
  "guidance": 0.0,
  "max_sequence_length": 64,
  "strength": 0.6,
  "negative_prompt": "night",
  "true_cfg": 2.0,
  "inputs": [
    {
      "name": "init_image",
      "file": "inputs/aa.png",
      "sha256": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
      "bytes": 10
    }
  ],
  "scheduler": "FlowMatchEulerDiscreteScheduler",
  "scheduler_name": "euler-karras",
  "loras": [
    {
      "path": "ink.safetensors",
      "sha256": "0000000000000000000000000000000000000000000000000000000000000000",
      "weight": 0.8
    }
  ],
  "batch_size": 1,
  "batch_index": 0,
  "dtype": "float32",
  "device": "cpu",
  "threads": 2,
  "memory_plan": null,
  "options": {},
  "sha256": "ddf40f213083a0b753bbb3b134f02c634af95dc7ff10bb01289f00251b81475e",
  "bytes": 1896,
  "versions": {
    "imagen_nb": "0.1.0",
    "torch": "2.13.0"
  },
  "cloud": true,
  "prompt_hash": "5f90b458def8b6834cc2a14018ba5a27b25d63d5fc7c73b5e42e16e0f7ef34a5",
  "unsent_tags": [
    {
      "tag": "sea",
      "present": true,
      "made_at": "2026-11-27T10:51:24.138947+00:00"
    }
  ]
}
','["boats", "sea"]','2026-11-27T12:01:00.000000+00:00','2026-11-27-a-red-boat-at-sunset-11.png','2026-11-27-a-red-boat-at-sunset-11.png.json','pending',NULL,'2026-11-27T10:51:24.146600+00:00',NULL);
CREATE TABLE marks (            -- facts about the catalog itself, see mending.py
          name TEXT PRIMARY KEY,
          value INTEGER NOT NULL
        ) STRICT
        ;
CREATE TABLE queue (            -- pictures that wait to be drawn, see queue.py
          id INTEGER PRIMARY KEY AUTOINCREMENT,
          place INTEGER NOT NULL,       -- the lowest is next
          wish TEXT NOT NULL,           -- JSON: what is wanted
          error TEXT,                   -- why it could not be drawn; NULL: it waits
          holder TEXT,                  -- under whose lease it is; NULL: nobody draws it
          made_at TEXT NOT NULL         -- UTC
        ) STRICT
        ;
INSERT INTO "queue" VALUES(1,1,'{"prompt":"a green boat","backend":null,"seed":3,"steps":4,"width":128,"height":128,"guidance":null,"tags":[],"cloud":null,"again":null}',NULL,NULL,'2026-11-27T10:51:24.154909+00:00');
CREATE TABLE removals (         -- what the cloud is still to remove
          id TEXT PRIMARY KEY,          -- of the picture, which may be another machine's
          storage_path TEXT,            -- NULL: as its row says
          due_at TEXT NOT NULL,         -- UTC; not before then
          error TEXT,                   -- why it was refused
          sender TEXT,                  -- under whose lease it is, see removals.py
          cancelled INTEGER NOT NULL DEFAULT 0
        ) STRICT
        ;
CREATE TABLE tag_changes (      -- what the rows in the cloud are still to learn
          id TEXT NOT NULL,             -- of the picture, which may be another machine's
          tag TEXT NOT NULL,
          present INTEGER NOT NULL,     -- 1: added, 0: removed
          made_at TEXT NOT NULL,        -- UTC
          PRIMARY KEY (id, tag)
        ) STRICT
        ;
INSERT INTO "tag_changes" VALUES('00000000-0000-4000-8000-000000001b59','sea',1,'2026-11-27T10:51:24.138947+00:00');
CREATE TABLE trash (            -- deleted pictures, see trash_moves.py
          id TEXT PRIMARY KEY,
          bundle TEXT NOT NULL,         -- the folder below .imagen/trash
          name TEXT NOT NULL,           -- of the PNG there
          target TEXT NOT NULL,         -- of the PNG in the output folder
          state TEXT NOT NULL CHECK (state IN ('going', 'kept', 'returning')),
          deleted_at TEXT NOT NULL      -- UTC
        ) STRICT
        ;
INSERT INTO "trash" VALUES('00000000-0000-4000-8000-000000001b5a','78443dcba91b2ccd','2026-11-27-a-blue-boat-at-night-12.png','2026-11-27-a-blue-boat-at-night-12.png','kept','2026-11-27T10:51:24.170228+00:00');
CREATE INDEX images_pending_idx ON images (created_at) WHERE cloud_state = 'pending';
CREATE INDEX images_sender_idx ON images (sender) WHERE sender IS NOT NULL;
CREATE INDEX images_failed_idx ON images (created_at) WHERE cloud_state = 'failed';
CREATE INDEX images_created_idx ON images (created_at, id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('queue',1);
COMMIT;
PRAGMA user_version = 7;
