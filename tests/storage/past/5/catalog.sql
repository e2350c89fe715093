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
INSERT INTO "images" VALUES('00000000-0000-4000-8000-00000000138a',NULL,'a blue boat at night','be7dfcfd54df18a97572e1fc64cf2b191baabf387105b454419cdeb0de2157a9','flux-tiny-local','flux-tiny',12,4,8,8,120,0.0,'2026-11-26/a-blue-boat-at-night-12.png','{
  "schema_version": 1,
  "id": "00000000-0000-4000-8000-00000000138a",
  "owner_user_id": null,
  "prompt": "a blue boat at night",
  "backend": "flux-tiny-local",
  "model": "flux-tiny",
  "seed": 12,
  "steps": 4,
  "width": 8,
  "height": 8,
  "latency_ms": 120,
  "cost_usd_estimate": 0.0,
  "storage_path": "2026-11-26/a-blue-boat-at-night-12.png",
  "tags": [
    "boats"
  ],
  "created_at": "2026-11-26T12:02:00Z",
  "guidance": 0.0,
  "max_sequence_length": 64,
  "strength": null,
  "negative_prompt": null,
  "true_cfg": null,
  "inputs": [],
  "scheduler": "FlowMatchEulerDiscreteScheduler",
  "scheduler_name": null,
  "loras": [],
  "batch_size": 1,
  "batch_index": 0,
  "dtype": "float32",
  "device": "cpu",
  "threads": null,
  "memory_plan": null,
  "options": {},
  "sha256": "6dd19ba6bcff9bc32cb147b3ff726d898b41a0fa6115c9183c96764531a32f59",
  "bytes": 1583,
  "versions": {
    "imagen_nb": "0.1.0",
    "torch": "2.13.0"
  },
  "cloud": false,
  "prompt_hash": "be7dfcfd54df18a97572e1fc64cf2b191baabf387105b454419cdeb0de2157a9"
}
','["boats"]','2026-11-26T12:02:00.000000+00:00','2026-11-26-a-blue-boat-at-night-12.png','2026-11-26-a-blue-boat-at-night-12.png.json','off',NULL,'2026-11-27T10:51:23.027410+00:00',NULL);
INSERT INTO "images" VALUES('00000000-0000-4000-8000-000000001389',NULL,'a red boat at sunset','5f90b458def8b6834cc2a14018ba5a27b25d63d5fc7c73b5e42e16e0f7ef34a5','flux-tiny-local','flux-tiny',11,4,8,8,120,0.0,'2026-11-26/a-red-boat-at-sunset-11.png','{
  "schema_version": 1,
  "id": "00000000-0000-4000-8000-000000001389",
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
  "storage_path": "2026-11-26/a-red-boat-at-sunset-11.png",
  "tags": [
    "boats",
    "sea"
  ],
  "created_at": "2026-11-26T12:01:00Z",
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
  "sha256": "7df707542934aefc7f30b072d148ff758a16ffcba08571f69464eccf2e50a222",
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
      "made_at": "2026-11-27T10:51:23.034923+00:00"
    }
  ]
}
','["boats", "sea"]','2026-11-26T12:01:00.000000+00:00','2026-11-26-a-red-boat-at-sunset-11.png','2026-11-26-a-red-boat-at-sunset-11.png.json','pending',NULL,'2026-11-27T10:51:23.042055+00:00',NULL);
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
INSERT INTO "queue" VALUES(1,1,'{"prompt":"a green boat","backend":null,"seed":3,"steps":4,"width":128,"height":128,"guidance":null,"tags":[],"cloud":null,"again":null}',NULL,NULL,'2026-11-27T10:51:23.053606+00:00');
CREATE TABLE tag_changes (      -- what the rows in the cloud are still to learn
          id TEXT NOT NULL,             -- of the picture, which may be another machine's
          tag TEXT NOT NULL,
          present INTEGER NOT NULL,     -- 1: added, 0: removed
          made_at TEXT NOT NULL,        -- UTC
          PRIMARY KEY (id, tag)
        ) STRICT
        ;
INSERT INTO "tag_changes" VALUES('00000000-0000-4000-8000-000000001389','sea',1,'2026-11-27T10:51:23.034923+00:00');
CREATE INDEX images_pending_idx ON images (created_at) WHERE cloud_state = 'pending';
CREATE INDEX images_sender_idx ON images (sender) WHERE sender IS NOT NULL;
CREATE INDEX images_failed_idx ON images (created_at) WHERE cloud_state = 'failed';
CREATE INDEX images_created_idx ON images (created_at, id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('queue',1);
COMMIT;
PRAGMA user_version = 5;
