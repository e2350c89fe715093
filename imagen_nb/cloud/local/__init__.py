"""A local Supabase to try and test with: Supabase Lite, made to answer as the hosted.

Where Supabase Lite differs, the server's own modules (*.mjs) put it right; the rest of
imagen_nb knows nothing of it. tests/cloud/test_local_answers.py names each difference.

Example:
    >>> supabase = start()  # doctest: +SKIP
    >>> supabase.url  # doctest: +SKIP
    'http://127.0.0.1:40123'
    >>> stop()  # doctest: +SKIP
    True
"""

from imagen_nb.cloud.local.server import start, status, stop
from imagen_nb.cloud.local.state import LocalSupabase

__all__ = ["LocalSupabase", "start", "status", "stop"]
