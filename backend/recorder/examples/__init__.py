"""Examples: scripted conversations through real pipelines into an embedded database; no API keys, no network.

python -m backend.recorder.examples.pipecat
python -m backend.recorder.examples.livekit
"""
