"""The built-in summarizer: modest, and always storable."""

from __future__ import annotations

import pytest

from noteflow_hooks.application.summarizer import summarize_briefly
from noteflow_hooks.domain.meetings import Segment, check_summary


def test_the_leading_sentences_are_the_summary_and_the_next_ones_its_points() -> None:
    """Across segments, as they were said."""
    made = summarize_briefly([Segment("One. Two!"), Segment("Three? Four.\nFive.")])
    assert made.executive_summary == "One. Two! Three?"
    assert made.key_points == ("Four.", "Five.")


@pytest.mark.parametrize(
    "sentence",
    ["Action: write it down.", "TODO ship", "Bob needs to call.", "We agreed to meet.", "Let's go home."],
)
def test_a_sentence_that_asks_for_something_is_an_action_item(sentence: str) -> None:
    """It is listed once, however often it is said, and is no key point."""
    made = summarize_briefly([Segment("One. Two. Three."), Segment(sentence), Segment(sentence)])
    assert made.action_items == (sentence,)
    assert made.key_points == ()


@pytest.mark.parametrize("text", ["...", "x" * 10_000, "Will do. " * 1100, "a\n\n\nb"], ids=str.__len__)
def test_whatever_a_segment_may_hold_makes_a_summary_that_can_be_stored(text: str) -> None:
    """Its own limits are below the store's."""
    check_summary(summarize_briefly([Segment(text)] * 200))
