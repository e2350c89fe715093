"""Drawing elsewhere: jobs that this session hands out, follows, and brings home.

Other rooms use:
    backend: `RemoteBackend`, which hands requests out instead of drawing them
    boxes: `Boxes`, the machines that draw, as they were last heard of
    handle: `RemoteJob`, a picture that another machine draws
"""
