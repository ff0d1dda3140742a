"""Remarks between the examples of the test-time learning task.

Nothing here gives a class away, though a remark may name a cue (``{cue}``) of some class. Other
slots: ``{class_word}`` (what a label stands for), ``{who}``, ``{room}``, ``{day}``, ``{count}``.
All sentences are this project's own.
"""

__all__ = ["ROOMS", "TALK"]

# Remarks of people at work on the examples. They fit either speaker of a conversation and a written
# note alike, and give no class away.
TALK: tuple[str, ...] = (
    "there was also something about {cue}, but nobody had sorted it yet",
    "the sheet with the {cue} has gone missing, so it stays without a number for now",
    "{who} keeps asking what to do about {cue} and deserves an answer one day",
    "nothing has been decided yet about the {cue} that {who} brought up on {day}",
    "{count} notes on {cue} are still waiting in the blue folder",
    "it would be a mistake to go by {cue} alone",
    "{who} joked that {cue} ought to have a {class_word} of their own",
    "nobody remembers who wrote the line about {cue}, and it has no number",
    "the word in front of {cue} could not be read, so that note was left out",
    "two notes from {who} say no more than that there were {cue}",
    "{day} was quiet, and hardly anything came in",
    "the pencil marks in the margin are from {who} and can be ignored",
    "{who} copied the last {count} by hand because the machine was being cleaned",
    "the numbers were handed out years ago and follow no order",
    "one gets used to the numbers after the first {count} days",
    "{who} learned them all by heart and was very proud of it",
    "a new {class_word} may be added in the autumn, but not before",
    "let us keep the pages in the order in which they came",
    "the handwriting of {who} is hard to read, though the numbers are clear",
    "some of these were sorted twice, with the same result both times",
    "{who} checked this batch {room} and changed nothing",
    "the next batch comes on {day}, unless {who} falls ill again",
    "every {class_word} should turn up sooner or later if we read on",
    "it helps to read the whole sentence before looking at the number",
    "the office has asked for a clean copy by {day}",
    "whoever wrote these down was in a hurry",
    "coffee was spilled over {count} sheets, which had to be written out again",
    "{who} spent all of {day} {room} and came back with {count} notes",
    "the printed list of names was thrown away long ago",
    "there is no rule to be had, only what has been sorted before",
    "people {room} use other words for the same things",
    "the ink has run on {count} of the older sheets",
    "when in doubt, {who} looks for a similar case and takes its number",
    "the roof leaked {room} all week, which explains the gaps",
    "{who} would rather have names than numbers, but numbers it is",
    "a visitor {room} wanted to know what all these numbers were for",
    "the sheets from {day} come first, then the rest",
    "this went on until {who} ran out of paper",
    "the red stamp only means that {who} has seen the page",
    "what follows was collected {room} over {count} days",
    "most mistakes happen late on {day}, when everybody is tired",
    "there is little point in guessing before a few of each have been seen",
    "{who} says hello and will be back {room} on {day}",
    "the folder is getting thick, and a second one has been ordered",
    "a short break {room} did everybody good",
    "not every page deserves so much attention, as {who} likes to say",
)

# Where the people of TALK are at work.
ROOMS: tuple[str, ...] = (
    "in the back room", "at the long table", "in the archive", "by the stove", "in the attic",
    "at the high desk", "in the reading room", "downstairs",
)  # fmt: skip
