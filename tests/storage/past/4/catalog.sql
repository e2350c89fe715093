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
INSERT INTO "images" VALUES('00000000-0000-4000-8000-000000000fa1',NULL,'a red boat at sunset','5f90b458def8b6834cc2a14018ba5a27b25d63d5fc7c73b5e42e16e0f7ef34a5','flux-tiny-local','flux-tiny',11,4,8,8,120,0.0,'2026-11-25/a-red-boat-at-sunset-11.png','{
  "schema_version": 1,
  "id": "00000000-0000-4000-8000-000000000fa1",
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
  "storage_path": "2026-11-25/a-red-boat-at-sunset-11.png",
  "tags": [
    "boats",
    "sea"
  ],
  "created_at": "2026-11-25T12:01:00Z",
  "guidance": 0.0,
  "max_sequence_length": 64,
  "scheduler": "FlowMatchEulerDiscreteScheduler",
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
  "sha256": "730ba4440021a12c38260dc67f7f49c69bafbb914d047abc14590e0a4901f38e",
  "bytes": 1600,
  "versions": {
    "imagen_nb": "0.1.0",
    "torch": "2.13.0"
  },
  "cloud": true,
  "prompt_hash": "5f90b458def8b6834cc2a14018ba5a27b25d63d5fc7c73b5e42e16e0f7ef34a5"
}
','["boats", "sea"]','2026-11-25T12:01:00.000000+00:00','2026-11-25-a-red-boat-at-sunset-11.png','2026-11-25-a-red-boat-at-sunset-11.png.json','pending',NULL,'2026-11-27T10:51:22.662496+00:00',NULL);
INSERT INTO "images" VALUES('00000000-0000-4000-8000-000000000fa2',NULL,'a blue boat at night','be7dfcfd54df18a97572e1fc64cf2b191baabf387105b454419cdeb0de2157a9','flux-tiny-local','flux-tiny',12,4,8,8,120,0.0,'2026-11-25/a-blue-boat-at-night-12.png','{
  "schema_version": 1,
  "id": "00000000-0000-4000-8000-000000000fa2",
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
  "storage_path": "2026-11-25/a-blue-boat-at-night-12.png",
  "tags": [
    "boats"
  ],
  "created_at": "2026-11-25T12:02:00Z",
  "guidance": 0.0,
  "max_sequence_length": 64,
  "scheduler": "FlowMatchEulerDiscreteScheduler",
  "loras": [],
  "batch_size": 1,
  "batch_index": 0,
  "dtype": "float32",
  "device": "cpu",
  "threads": null,
  "memory_plan": null,
  "options": {},
  "sha256": "2f2b502d4e51a571bbb49a40351aab5d3e7610e34a3f7f6d12c61cbb5c63abea",
  "bytes": 1484,
  "versions": {
    "imagen_nb": "0.1.0",
    "torch": "2.13.0"
  },
  "cloud": false,
  "prompt_hash": "be7dfcfd54df18a97572e1fc64cf2b191baabf387105b454419cdeb0de2157a9"
}
','["boats"]','2026-11-25T12:02:00.000000+00:00','2026-11-25-a-blue-boat-at-night-12.png','2026-11-25-a-blue-boat-at-night-12.png.json','off',NULL,'2026-11-27T10:51:22.643471+00:00',NULL);
CREATE TABLE queue (            -- pictures that wait to be drawn, see queue.py
          id INTEGER PRIMARY KEY AUTOINCREMENT,
          place INTEGER NOT NULL,       -- the lowest is next
          wish TEXT NOT NULL,           -- JSON: what is wanted
          error TEXT,                   -- why it could not be drawn; NULL: it waits
          holder TEXT,                  -- under whose lease it is; NULL: nobody draws it
          made_at TEXT NOT NULL         -- UTC
        ) STRICT
        ;
INSERT INTO "queue" VALUES(1,1,'{"prompt":"a green boat","backend":null,"seed":3,"steps":4,"width":128,"height":128,"guidance":null,"tags":[],"cloud":null,"again":null}',NULL,NULL,'2026-11-27T10:51:22.666270+00:00');
CREATE TABLE tag_changes (      -- what the rows in the cloud are still to learn
          id TEXT NOT NULL,             -- of the picture, which may be another machine's
          tag TEXT NOT NULL,
          present INTEGER NOT NULL,     -- 1: added, 0: removed
          made_at TEXT NOT NULL,        -- UTC
          PRIMARY KEY (id, tag)
        ) STRICT
        ;
INSERT INTO "tag_changes" VALUES('00000000-0000-4000-8000-000000000fa1','sea',1,'2026-11-27T10:51:22.652121+00:00');
CREATE INDEX images_pending_idx ON images (created_at) WHERE cloud_state = 'pending';
CREATE INDEX images_sender_idx ON images (sender) WHERE sender IS NOT NULL;
CREATE INDEX images_failed_idx ON images (created_at) WHERE cloud_state = 'failed';
CREATE INDEX images_created_idx ON images (created_at, id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('queue',1);
COMMIT;
PRAGMA user_version = 4;
