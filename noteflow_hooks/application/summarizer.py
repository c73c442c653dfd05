"""The default summarizer: it copies sentences of the transcript and understands nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from noteflow_hooks.domain.meetings import Segment, Summary

#: Makes a summary of a transcript of at least one segment. It runs in a thread of its own and may take its time.
Summarize = Callable[[Sequence[Segment]], Summary]

#: How many sentences are the summary, how many key points and action items follow at most, and how long a sentence is.
_LEADING: Final = 3
_KEY_POINTS: Final = 10
_ACTION_ITEMS: Final = 50
_SENTENCE_CHARACTERS: Final = 500
_SENTENCE_END: Final = re.compile(r"(?<=[.!?])\s+|\n+")
#: Matches an English sentence that asks for something to be done.
_ACTION: Final = re.compile(
    r"^\W*(action item|action|todo|to do|follow[- ]up)\b"
    r"|\b(will|needs? to|has to|have to|let's|must|should|agreed to|is going to|are going to)\s+\w",
    re.IGNORECASE,
)


def summarize_briefly(segments: Sequence[Segment]) -> Summary:
    """Return the first three sentences as the summary, the next as key points, and the likely action items.

    A sentence counts as an action item where it begins with such a word ("Action:", "TODO") or promises something
    ("will …", "needs to …"). Nothing is rephrased, weighed or understood.
    """
    sentences = [sentence for segment in segments for sentence in _sentences(segment)]
    actions = [sentence for sentence in sentences if _ACTION.search(sentence)]
    listed = set(actions)
    rest = [sentence for sentence in sentences[_LEADING:] if sentence not in listed]
    return Summary(
        executive_summary=" ".join(sentences[:_LEADING]),
        key_points=tuple(dict.fromkeys(rest))[:_KEY_POINTS],
        action_items=tuple(dict.fromkeys(actions))[:_ACTION_ITEMS],
    )


def _sentences(segment: Segment) -> list[str]:
    stripped = (sentence.strip() for sentence in _SENTENCE_END.split(segment.text))
    return [sentence[:_SENTENCE_CHARACTERS].rstrip() for sentence in stripped if sentence]
