"""Demo data: a believable week of calls, the same for the same seed, to look at in the console.

phrasebook   what is said, in eight languages (`dialogues/`)
talk         when it is said: pauses, latencies, interruptions
calls        a talk as one call: what a phone, a pipeline or a chat sends for it, and what goes wrong
deliveries   what became of the intents
week         which calls there are, and when
playing      sends the calls through the services, as their senders would, and moves them into the past

Everything that plans is pure: the same seed and end give the same ids, texts and times. Calls do not overlap, so that
the order of the feed is the order of recording, as in a real record.
"""
