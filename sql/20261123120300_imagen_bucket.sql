-- Where the pictures lie: private (reading is by signed URL only), at most 50 MiB each.
-- A bucket that is there already gets these settings too: a public one would show every picture.
INSERT INTO storage.buckets (id, name, public, file_size_limit, allowed_mime_types)
VALUES (
  'imagen-generated',
  'imagen-generated',
  FALSE,
  52428800,
  ARRAY['image/png', 'image/jpeg', 'image/webp']
)
ON CONFLICT (id) DO UPDATE SET
  public = EXCLUDED.public,
  file_size_limit = EXCLUDED.file_size_limit,
  allowed_mime_types = EXCLUDED.allowed_mime_types;
