"""What FastAPI serves: the control plane, the probes, the models on ``/docs``.

Not in here: any answer of an API.
"""
