"""Scripted conversations through real pipelines into a record of their own; no keys, no network.

python -m backend.recorder.examples.pipecat
python -m backend.recorder.examples.livekit
"""
