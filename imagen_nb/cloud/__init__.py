"""The copy in the user's own Supabase: pictures in a private bucket, rows in imagen.images."""
