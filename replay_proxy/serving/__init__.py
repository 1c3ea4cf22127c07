"""What faces HTTP: the ASGI app, its data plane, its control plane, uvicorn's connection.

Not in here: what answers a request.
"""
