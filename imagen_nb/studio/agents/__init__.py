"""What a program that talks for a person may see of a session, and do: `imagen mcp`.

`answers` is what it sees, `drawing` what it may draw, both in bounds, `arguments` what it
may say; `server` makes tools of them, and alone knows the SDK of the Model Context
Protocol.
"""
