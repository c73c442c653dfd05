"""Recording: the audio streams, and what keeps their recordings alive."""
