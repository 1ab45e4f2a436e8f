"""Examples: scripted conversations through real pipelines into an embedded database; no API keys, no network.

python -m examples.recorder.pipecat
python -m examples.recorder.livekit
"""
