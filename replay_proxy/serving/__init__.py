"""What faces HTTP: the ASGI app, its data plane, its control plane, uvicorn's connections.

Not in here: what answers a request.
"""
