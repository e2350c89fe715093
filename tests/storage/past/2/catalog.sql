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
INSERT INTO "images" VALUES('00000000-0000-4000-8000-0000000007d1',NULL,'a red boat at sunset','5f90b458def8b6834cc2a14018ba5a27b25d63d5fc7c73b5e42e16e0f7ef34a5','flux-tiny-local','flux-tiny',11,4,8,8,120,0.0,'2026-11-23/a-red-boat-at-sunset-11.png','{
  "schema_version": 1,
  "id": "00000000-0000-4000-8000-0000000007d1",
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
  "storage_path": "2026-11-23/a-red-boat-at-sunset-11.png",
  "tags": [
    "boats"
  ],
  "created_at": "2026-11-23T12:01:00Z",
  "guidance": 0.0,
  "max_sequence_length": 64,
  "scheduler": "FlowMatchEulerDiscreteScheduler",
  "loras": [],
  "batch_size": 1,
  "batch_index": 0,
  "dtype": "float32",
  "device": "cpu",
  "memory_plan": null,
  "options": {},
  "sha256": "76e297335765cf1cc6c8add6429fae4f554e0bbbe5d35af3e29ef0818db04ad0",
  "bytes": 1466,
  "versions": {
    "imagen_nb": "0.1.0",
    "torch": "2.13.0"
  },
  "cloud": true,
  "prompt_hash": "5f90b458def8b6834cc2a14018ba5a27b25d63d5fc7c73b5e42e16e0f7ef34a5"
}
','["boats"]','2026-11-23T12:01:00.000000+00:00','2026-11-23-a-red-boat-at-sunset-11.png','2026-11-23-a-red-boat-at-sunset-11.png.json','pending',NULL,'2026-11-27T10:51:21.741044+00:00',NULL);
INSERT INTO "images" VALUES('00000000-0000-4000-8000-0000000007d2',NULL,'a blue boat at night','be7dfcfd54df18a97572e1fc64cf2b191baabf387105b454419cdeb0de2157a9','flux-tiny-local','flux-tiny',12,4,8,8,120,0.0,'2026-11-23/a-blue-boat-at-night-12.png','{
  "schema_version": 1,
  "id": "00000000-0000-4000-8000-0000000007d2",
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
  "storage_path": "2026-11-23/a-blue-boat-at-night-12.png",
  "tags": [
    "boats"
  ],
  "created_at": "2026-11-23T12:02:00Z",
  "guidance": 0.0,
  "max_sequence_length": 64,
  "scheduler": "FlowMatchEulerDiscreteScheduler",
  "loras": [],
  "batch_size": 1,
  "batch_index": 0,
  "dtype": "float32",
  "device": "cpu",
  "memory_plan": null,
  "options": {},
  "sha256": "62322f6ce17b0ee3b3d06950c17d26db4769b35479d7c6f3cd13c7605921c3ef",
  "bytes": 1467,
  "versions": {
    "imagen_nb": "0.1.0",
    "torch": "2.13.0"
  },
  "cloud": false,
  "prompt_hash": "be7dfcfd54df18a97572e1fc64cf2b191baabf387105b454419cdeb0de2157a9"
}
','["boats"]','2026-11-23T12:02:00.000000+00:00','2026-11-23-a-blue-boat-at-night-12.png','2026-11-23-a-blue-boat-at-night-12.png.json','off',NULL,'2026-11-27T10:51:21.762756+00:00',NULL);
CREATE INDEX images_created_idx ON images (created_at DESC, id);
CREATE INDEX images_pending_idx ON images (created_at) WHERE cloud_state = 'pending';
CREATE INDEX images_sender_idx ON images (sender) WHERE sender IS NOT NULL;
CREATE INDEX images_failed_idx ON images (created_at) WHERE cloud_state = 'failed';
COMMIT;
PRAGMA user_version = 2;
