"""Wording of the long-range task: kinds of events, their values, forms and questions.

Only words live here. An event is told by an opening and a form; ``{who}`` is the full name of the
person it happens to, ``{v}`` the value asked for, ``{av}`` the value with its article. Forms start
in lower case, unless they start with a name, so that an opening and a comma can stand before any of
them. ``long_range_understanding`` joins them; the rest of the prose is in ``story_filler``. All
sentences are this project's own.
"""

from dataclasses import dataclass

__all__ = ["KINDS", "OPENINGS", "PAST_OPENINGS", "TEST_OPENINGS", "TEST_PAST_OPENINGS", "Kind"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of event.

    Attributes:
        name: Short name.
        lefts: First words of values; empty if the values are names of people.
        rights: Last words of values.
        forms: Forms of the training and validation splits.
        test_forms: Forms that only the test split uses.
        past_forms: Forms of events long before the story, in the past perfect.
        test_past_forms: The same for the test split only.
        order_questions: Questions for the values in the order of happening.
        test_order_questions: The same for the test split only.
    """

    name: str
    lefts: tuple[str, ...]
    rights: tuple[str, ...]
    forms: tuple[str, ...]
    test_forms: tuple[str, ...]
    past_forms: tuple[str, ...]
    test_past_forms: tuple[str, ...]
    order_questions: tuple[str, ...]
    test_order_questions: tuple[str, ...]


# They fit any order of telling: none names a season or a date that a later one could contradict.
OPENINGS: tuple[str, ...] = (
    "by the end of the week", "after two days of rain", "on market day", "one windy morning",
    "a month or so later", "before the week was out", "one evening", "not long afterwards",
    "a fortnight later", "between two thunderstorms", "the following Sunday", "some time later",
    "after a sleepless night", "on the day of the fair",
)  # fmt: skip
TEST_OPENINGS: tuple[str, ...] = (
    "some days afterwards", "on a foggy morning", "toward evening", "a good month later",
    "soon after that", "one Thursday", "at the turn of the month",
)  # fmt: skip
PAST_OPENINGS: tuple[str, ...] = (
    "years before this story began", "long before setting out on any road",
    "in younger days, before all that is told here", "ten years earlier, before any of this",
)  # fmt: skip
TEST_PAST_OPENINGS: tuple[str, ...] = (
    "well before the first page of this book", "half a lifetime earlier, before any of this",
    "in the years before this tale opens",
)  # fmt: skip


def _items(joined: str) -> tuple[str, ...]:
    return tuple(joined.split("|"))


_VISIT = Kind(
    name="visit",
    lefts=_items(
        "Harrow|Salt|Crane|Otter|Penny|Raven|Hollin|Marl|Tallow|Quern|Bitter|Lantern|"
        "Thrift|Osier|Candle|Fallow|Gallow|Hazard|Iron|Kettle|Linnet|Mercy|Nettle|Oxen|"
        "Pilgrim|Rushy|Saddle|Tinker|Vesper|Wicker|Abbot|Badger|Cobble|Dapple|Eel|Flint|"
        "Goose|Heron|Idle|Juniper|Knave|Lark|Mallow|Noon|Orchard|Plover|Quill|Rook|Sorrow|"
        "Trout|Widow|Yarrow"
    ),
    rights=_items(
        "Ferry|Gate|Mill|Cross|Weir|Landing|Hollow|Bridge|Priory|Locks|Stairs|Quay|Fold|"
        "Moor|Tarn|Wharf|Barrow|Heath|Grange|Beacon|Ford|Haven|Common|Reach"
    ),
    forms=(
        "{who} reached {v} and asked for a bed",
        "{who} came down the long hill into {v}",
        "the drove road brought {who} to {v}",
        "{v} was cut off by floods, and {who} had to stay there for three nights",
        "{who} got off the mail cart at {v}",
        "it was {v} that gave {who} shelter",
        "{who} walked into {v} with wet boots and an empty bag",
        "a barge put {who} ashore at {v}",
        "nobody in {v} knew {who}, who was given a hay loft all the same",
        "{who} turned north and arrived at {v}",
        "hunger drove {who} to the first houses of {v}",
        "the people of {v} made room by their fire for {who}",
        "{who} got to {v} by way of two wrong turnings",
        "{who} saw the roofs of {v} and made for them",
        "{who} rode into {v} on a borrowed mule",
        "the ferryman set {who} down at {v}",
        "{v} was where {who} spent the next days",
        "a shepherd led {who} as far as {v}",
        "{who} crossed the marsh and found lodgings in {v}",
        "a lame mule kept {who} in {v} longer than planned",
        "the path over the ridge took {who} straight to {v}",
        "{who} slipped into {v} among the pilgrims",
    ),
    test_forms=(
        "{who} limped up the only street of {v}",
        "a timber wagon carried {who} all the way to {v}",
        "{who} made landfall at {v}",
        "the watchmen of {v} let {who} in",
        "{who} settled in {v} for want of a better place",
        "{who} followed the stream until it came to {v}",
        "{who} looked down on {v} from the crest and then went in",
        "the innkeeper at {v} gave the last room to {who}",
        "{v} greeted {who} with ringing bells",
        "{who} drifted into {v} together with the hop pickers",
        "the next halt for {who} was {v}",
        "the fishing boats took {who} along to {v}",
        "{who} hobbled over the last mile to {v}",
        "it rained when {who} entered {v}",
        "{v} had a bed of straw for {who}",
        "the sound of a mill guided {who} to {v}",
        "{who} drove a flock of geese to {v}",
        "half dead with thirst, {who} staggered into {v}",
        "{who} came to {v} a day too late for the feast",
        "there were lights in {v}, and {who} walked toward them",
    ),
    past_forms=(
        "{who} had spent a winter in {v}",
        "{who} had been taken to {v} by an aunt",
        "{who} had gone to school in {v}",
        "{v} had been the first strange town to take {who} in",
        "{who} had passed through {v} with a circus",
    ),
    test_past_forms=(
        "{who} had sold eels in {v}",
        "{who} had run away to {v}",
        "{v} had already had {who} as a lodger",
    ),
    order_questions=(
        "In which order did {who} come to the places of the story?",
        "Which places did {who} see, from the earliest to the latest?",
        "Where did {who} go, place by place, in the order of happening?",
        "List the places where {who} stayed, first to last.",
        "What was the itinerary of {who} from beginning to end?",
        "Put the places that {who} got to know into the order of the visits.",
    ),
    test_order_questions=(
        "Through which places did {who} pass, and in what sequence?",
        "Retrace the stops of {who} in the order in which they were made.",
        "What were the whereabouts of {who}, told from first to last?",
        "Name every place on the way of {who}, the earliest first.",
        "Where was {who} first, where next, and where at the end?",
        "Which places does the story take {who} to, one after another?",
    ),
)

_FIND = Kind(
    name="find",
    lefts=_items(
        "brass|pewter|walnut|ivory|copper|painted|cracked|silver|ebony|tin|gilded|leather|"
        "bone|amber|bronze|crystal|iron|jade|carved|enamel|rusty|scorched|coral|maple|onyx|"
        "striped|pearl|dented"
    ),
    rights=_items(
        "compass|locket|whistle|lantern|hourglass|spyglass|snuffbox|mirror|thimble|flute|"
        "casket|goblet|dagger|medal|bracelet|music box|handbell|amulet|inkwell|candlestick|"
        "pocket watch|map case|fiddle|sextant|comb|tankard|mask|astrolabe|buckle|figurine|"
        "drum|rosary|horn|chalice|dice cup|ladle"
    ),
    forms=(
        "{who} found {av} under a loose floorboard",
        "{who} dug {av} out of the river mud",
        "a pedlar let {who} have {av} for two coins",
        "{who} won {av} at cards",
        "{who} discovered {av} in a dead man's chest",
        "{who} was given {av} by a widow who wanted no thanks",
        "{av} fell into the hands of {who}",
        "{who} traded a pair of good boots for {av}",
        "{who} rescued {av} from the ashes of a barn",
        "a dry well gave up {av}, and {who} kept it",
        "{who} inherited {av} from a perfect stranger",
        "somebody had left {av} in a hollow tree, where {who} came upon it",
        "{who} came by {av} at a sale of lost luggage",
        "a child showed {who} where {av} lay hidden",
        "{who} carried off {av} as payment for a week of work",
        "{who} noticed {av} behind an altar and took it along",
        "{who} picked up {av} among the wreckage of a barge",
        "{who} bought {av} from a deserter",
        "an abbot sent {who} on with {av} in a sack",
        "it was {av} that {who} pulled from a bog",
        "{who} unwrapped a parcel and held {av}",
        "an old debt was paid to {who} with {av}",
    ),
    test_forms=(
        "{who} fished {av} out of the mill pond",
        "a wounded soldier pressed {av} on {who}",
        "{who} stumbled over {av} in the long grass",
        "the tide left {av} at the feet of {who}",
        "{who} swapped the last of the flour for {av}",
        "{who} came upon {av} inside a mattress",
        "{av} changed owners, and {who} was the new one",
        "the captain rewarded {who} with {av}",
        "{who} snatched {av} from a burning cart",
        "{who} uncovered {av} beneath the roots of an elm",
        "{who} took possession of {av} that no one claimed",
        "the judge awarded {av} to {who}",
        "{who} lifted {av} out of a crate of straw",
        "nobody bid for {av} but {who}, who got it for a song",
        "{who} caught {av} that somebody threw from a window",
        "a blind man gave {who} {av} for a little kindness",
        "{who} bargained all day long for {av} and got it",
        "{av} turned up in the baggage of {who}, nobody knew how",
        "{who} pulled {av} out of a fox hole",
        "the last will of a hermit left {av} to {who}",
    ),
    past_forms=(
        "{who} had found {av} on a beach",
        "{who} had won {av} in a raffle",
        "an uncle had made {who} a present of {av}",
        "{who} had dug up {av} in a kitchen garden",
        "{av} had come to {who} as a christening gift",
    ),
    test_past_forms=(
        "{who} had been left {av} by a neighbour",
        "{who} had earned {av} by minding geese",
        "a sailor had handed {av} to {who}",
    ),
    order_questions=(
        "In which order did {who} obtain things?",
        "What came into the possession of {who}, from the earliest to the latest?",
        "List what {who} acquired, first to last.",
        "Put the things that {who} came to own into the order of happening.",
        "What did {who} gain first, what next, and what at the end?",
        "Which finds and gifts did {who} have, told in sequence?",
    ),
    test_order_questions=(
        "Name the belongings that {who} gathered, the earliest first.",
        "In what sequence did {who} get hold of things?",
        "What did {who} pick up in the course of the story, one after another?",
        "Which things became the property of {who}, told from first to last?",
        "Arrange the acquisitions of {who} by time.",
        "What were the treasures of {who}, in the order of their coming?",
    ),
)

_MEET = Kind(
    name="meet",
    lefts=(),
    rights=(),
    forms=(
        "{who} met {v} on the towpath",
        "a quarrel over a horse brought {who} and {v} together",
        "{v} offered {who} a place by the stove",
        "{who} shared a cart with {v}",
        "it was {v} who pulled {who} out of the ditch",
        "{who} fell in with {v} at a horse fair",
        "{v} mistook {who} for a cousin and stayed for supper",
        "{who} hid {v} from the tax men",
        "{who} wrote a letter home for {v}",
        "{who} got talking to {v} at the well",
        "{who} lost a wager to {v}",
        "a storm forced {who} to share a hut with {v}",
        "{v} taught {who} how to read the stars",
        "{who} was introduced to {v} at a wake",
        "{who} nursed {v} through a bad cough",
        "{who} stood next to {v} in the queue for bread, and they became friends",
        "{v} sold {who} a map that proved to be right",
        "{who} asked the way, and {v} came along as a guide",
        "{who} did {v} a favour that would be remembered",
        "{who} bumped into {v} on a dark staircase",
        "{who} made peace with {v} over a jug of cider",
        "{v} and {who} sheltered under the same oak",
    ),
    test_forms=(
        "{who} was woken by {v}, who needed a hand with the sheep",
        "{v} caught {who} stealing plums and laughed about it",
        "{who} played three games of chess against {v}",
        "{who} noticed {v} across a crowded taproom and went over",
        "{v} stitched up the torn coat of {who}",
        "{who} swore an oath of friendship with {v}",
        "the toll keeper made {who} pay for {v} as well",
        "{who} brought bad news to {v}",
        "a lost dog led {who} to {v}",
        "{v} begged {who} for a song and got two",
        "{who} threw a rope to {v}, who was up to the neck in water",
        "{who} took shelter with {v} in a lime kiln",
        "{v} tried to sell {who} a lame horse",
        "the innkeeper put {who} and {v} in the same bed",
        "{who} carried the basket of {v} uphill",
        "{v} cut the hair of {who} and would not take a penny",
        "{who} stood godparent together with {v}",
        "{who} argued with {v} about the price of eels",
        "{v} called {who} a liar and was sorry afterwards",
        "{who} was rowed across by {v}",
    ),
    past_forms=(
        "{who} had shared a school bench with {v}",
        "{v} had taught {who} to swim",
        "{who} had stolen apples together with {v}",
        "{who} had danced with {v} at a harvest feast",
        "{v} had saved {who} from a runaway horse",
    ),
    test_past_forms=(
        "{who} had sung in a choir with {v}",
        "{v} and {who} had kept rabbits together",
        "{who} had sat out a flood on a roof with {v}",
    ),
    order_questions=(
        "In which order did {who} get to know people?",
        "Whom did {who} come across, from the earliest to the latest?",
        "List the people who crossed the path of {who}, first to last.",
        "Put the acquaintances of {who} into the order of happening.",
        "Whom did {who} deal with first, whom next, and whom at the end?",
        "Which people entered the life of {who}, told in sequence?",
    ),
    test_order_questions=(
        "Name the people whom {who} encountered, the earliest first.",
        "In what sequence did {who} make acquaintances?",
        "With whom did {who} have to do, one after another?",
        "Arrange the encounters of {who} by time and give the names.",
        "Who came into the story of {who}, told from first to last?",
        "Which persons did {who} come to know, and in what sequence?",
    ),
)

_MEND = Kind(
    name="mend",
    lefts=_items(
        "chapel|mill|ferry|granary|harbour|abbey|market|quarry|brewery|castle|school|"
        "orchard|tannery|dairy|customs|prison|theatre|salt|lighthouse|hospital|barracks|"
        "vineyard|bakery|smithy|stable|convent|dockyard|glassworks|almshouse|laundry|"
        "tavern|toll|watchtower|courthouse|ropewalk|pottery"
    ),
    rights=_items(
        "clock|gate|winch|pump|crane|hoist|turnstile|weathercock|sluice|drawbridge|press|"
        "loom|organ|barrier|windlass|trapdoor|bell wheel|treadmill|capstan|carousel|"
        "music machine|waterwheel|lift|sawbench"
    ),
    forms=(
        "{who} mended the {v}",
        "{who} spent nine days repairing the {v}",
        "the elders hired {who} to put the {v} in order",
        "thanks to {who} the {v} worked again",
        "{who} took the {v} apart and built it up anew",
        "for bread and lodging {who} saw to the {v}",
        "the {v}, useless for years, was set right by {who}",
        "{who} could not pass the broken {v} without fixing it",
        "it fell to {who} to rescue the {v}",
        "it was {who} who brought the {v} back to life with wire and patience",
        "{who} replaced every rotten part of the {v}",
        "a bet made {who} climb up and free the jammed {v}",
        "{who} got the {v} going before a small crowd",
        "the {v} was restored by {who}, who asked for nothing",
        "nobody but {who} dared to touch the {v}, and it was soon sound",
        "{who} worked by candlelight on the {v} until it held",
        "the tailor's children watched {who} patch up the {v}",
        "{who} oiled and straightened the {v}",
        "the smith gave up on the {v}, but {who} made it move",
        "{who} paid off a fine by overhauling the {v}",
        "{who} was put to work on the {v} and finished it in time",
        "the {v} owed its second life to {who}",
    ),
    test_forms=(
        "{who} knocked the {v} back into shape",
        "no one would go near the {v} until {who} had made it safe",
        "{who} cured the {v} of its squeaking",
        "the mayor asked {who} to look at the {v}, which soon ran as before",
        "{who} fitted the {v} with new pins",
        "{who} handed over the {v} as good as new, after much hammering",
        "the repair of the {v} was left to {who}",
        "{who} crawled under the {v} and found out what was wrong with it",
        "a drawing in the dust helped {who} to save the {v}",
        "{who} melted down three spoons to make a part for the {v}",
        "the whole village cheered when {who} released the {v}",
        "{who} laboured over the {v} with borrowed tools",
        "the {v} yielded to the patience of {who}",
        "{who} talked the guild into a new axle for the {v} and fitted it",
        "it was a splinter, {who} found, that had blocked the {v}",
        "{who} greased the {v} and lo, it moved",
        "the {v} ran smoothly after {who} had seen to it",
        "{who} saved the {v} from the scrap heap",
        "two sleepless nights were what the {v} cost {who}, but it was sound",
        "the {v}, long given up, was made to work by {who}",
    ),
    past_forms=(
        "{who} had repaired the {v} for a wage of apples",
        "{who} had learned to use tools on the {v}",
        "the {v} had been the first machine put right by {who}",
        "{who} had helped an uncle to set the {v} right",
        "a proud father had watched {who} mend the {v}",
    ),
    test_past_forms=(
        "{who} had freed the {v} of rust",
        "{who} had kept the {v} going with string and wax",
        "the {v} had been put back to work by {who}",
    ),
    order_questions=(
        "In which order did {who} do repairs?",
        "What was repaired by {who}, from the earliest to the latest?",
        "List the things that {who} put right, first to last.",
        "Put the repairs of {who} into the order of happening.",
        "What did {who} fix first, what next, and what at the end?",
        "Which jobs of mending did {who} do, told in sequence?",
    ),
    test_order_questions=(
        "Name the machines that {who} worked on, the earliest first.",
        "In what sequence did {who} restore things?",
        "What was made to work by {who}, one after another?",
        "Arrange the jobs of {who} by time.",
        "Which things did {who} bring back into use, told from first to last?",
        "What did the skill of {who} save, and in what sequence?",
    ),
)

KINDS: tuple[Kind, ...] = (_VISIT, _FIND, _MEET, _MEND)
