"""Pictures that other machines draw for this session: handed out, followed, brought home.

session: `Elsewhere`, the part of a session that does so
backend: `RemoteBackend`, which hands requests out instead of drawing them
boxes: `Boxes`, the machines that draw, as they were last heard of
handle: `RemoteJob`, one picture that another machine draws
"""
