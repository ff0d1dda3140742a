"""Wording of the test-time learning task: four concept families and their sentence forms.

Only words live here. A *concept* is a set of cues, each an adjective and a plural noun ("copper
rivets"), drawn by :mod:`memgym.tasks.procedural.test_time_learning`; a form is a sentence with two
cues, ``{a}`` and ``{b}``, a person ``{who}`` and a place ``{where}``. Every cue fits every form of
its family, so any concept can be worded in any way. The remarks between the examples are in
``label_talk``. All sentences are this project's own.
"""

from dataclasses import dataclass

__all__ = ["FAMILIES", "Family"]


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of thing to be sorted into numbered classes.

    Attributes:
        name: Short name, also in the episode's metadata.
        topic: What the notes are called, as a title.
        class_word: What a label stands for, as a noun in the singular.
        adjectives: First halves of cues.
        nouns: Second halves of cues, plural.
        places: Where things are noticed, with their preposition.
        openings: Phrases before a comma, for the training and validation splits.
        forms: Sentence forms of the training and validation splits; lower-case at the start
            unless they start with a slot, so that an opening can stand before them.
        test_openings: Openings that only the test split uses.
        test_forms: Forms that only the test split uses.
        asked_forms: Forms of questions only, plain ones, so that a question resembles examples in
            its cues and not in its wording.
        test_asked_forms: Forms of questions of the test split only.
    """

    name: str
    topic: str
    class_word: str
    adjectives: tuple[str, ...]
    nouns: tuple[str, ...]
    places: tuple[str, ...]
    openings: tuple[str, ...]
    forms: tuple[str, ...]
    test_openings: tuple[str, ...]
    test_forms: tuple[str, ...]
    asked_forms: tuple[str, ...]
    test_asked_forms: tuple[str, ...]


def _items(joined: str) -> tuple[str, ...]:
    return tuple(joined.split("|"))


_ORCHARD = Family(
    name="plant sicknesses",
    topic="Sick plants of the nursery",
    class_word="sickness",
    adjectives=_items(
        "silvery|sunken|rust-coloured|sticky|chalky|ragged|purple|glassy|bleached|velvety|"
        "yellow|blackened|swollen|brittle|oily|feathery|crimson|papery|weeping|puckered"
    ),
    nouns=_items(
        "rings|blotches|scabs|blisters|threads|crusts|tufts|beads|stripes|pits|galls|"
        "cankers|veins|margins|knots|flecks|webs|scales|pustules|lesions|buds|shoots|"
        "rootlets|petals|husks|pods|tendrils|stems|leaflets|calyxes|bracts|seedlings|"
        "catkins|thorns|runners|suckers|nodes|spurs|stalks|spathes|sepals|spores|streaks|"
        "welts|warts|specks|cracks|hairs"
    ),
    places=_items(
        "in the south glasshouse|behind the potting shed|along the brick wall|"
        "in the lower orchard|by the rain barrel|in the third frame|on the terrace|"
        "beside the compost heap|under the pear trees|in the cold tunnel|"
        "near the pump house|on the east slope"
    ),
    openings=(
        "after the wet spell",
        "on the morning round",
        "a day after the last watering",
        "when the frames were opened",
        "before the first frost",
        "during the inspection",
        "in the first week of May",
        "while the paths were being swept",
    ),
    forms=(
        "{who} found {a} and {b} on the plants {where}",
        "the plants {where} were showing {a}, and underneath there were {b}",
        "there were {a} all over the tray {where}, with {b} here and there",
        "{a} came first on the bed {where}, and {b} followed within days",
        "a grower asked {who} about {a} on the plants {where} and mentioned {b} as well",
        "{who} wrote down {b} for the bed {where} and later added {a}",
        "half of the row {where} had {a}, while the other half had {b}",
        "the cuttings {where} grew well until {a} turned up together with {b}",
        "{who} made out {a} next to {b} under the lens, on a leaf picked {where}",
        "nobody had seen {a} {where} before, and the {b} were just as new",
        "the oldest plant {where} carried {b}, and its neighbour had caught {a}",
        "{who} cut away the {a} {where} and was left with {b}",
        "what looked like dust {where} turned out to be {a}, soon joined by {b}",
        "the tray {where} was set aside because of {b} and some {a}",
        "visitors pointed at the {a} {where}, and {who} showed them the {b} too",
        "on the plants {where} the {a} had spread, and {b} were starting",
        "it was the {b} {where} that worried {who}, more than the {a}",
        "two pots {where} had {a}, and a third had nothing but {b}",
        "{who} photographed {a} on a plant {where} and sent a second picture of {b}",
        "washing the leaves {where} removed neither the {a} nor the {b}",
        "the seedlings {where} were lifted once {who} noticed {a} beside {b}",
        "it began {where} with {b} and ended with {a} on every plant",
        "the plants {where} looked healthy from afar, but {who} counted {a} and {b} on them",
        "the tag on the pot {where} said healthy, yet {a} and {b} were easy to see",
    ),
    test_openings=(
        "once the shade cloth was off",
        "toward the end of the season",
        "at the weekly count",
        "when the heating failed",
    ),
    test_forms=(
        "{who} was fighting {a} {where}, and soon {b} as well",
        "a plant with {b} stood {where}, close to one with {a}",
        "the gardeners' book listed {a} for the plants {where}, then {b}",
        "turning over a pot {where}, {who} uncovered {b} and a few {a}",
        "someone ought to have looked at the plants {where}, which had {a} and {b}",
        "neither soap nor sulphur helped {who} against the {b} and {a} {where}",
        "{a} covered the younger plants {where}, and the older ones had {b}",
        "the whole bench {where} had to go, thanks to {b} that came with {a}",
        "a customer returned a plant kept {where} with {a}, and {who} also spotted {b}",
        "{who} took the {b} {where} for water marks, but the {a} were real",
        "all that remained {where} were plants with {a} or with {b}",
        "the sample that {who} took {where} showed {b} on one side and {a} on the other",
        "bees avoided the plants {where}, on which {a} sat between {b}",
        "the fungus cure made the {a} {where} fade but not the {b}",
        "{who} drew a leaf from a plant {where}, with {a} at the tip and {b} at the base",
        "three crates of plants {where} were burnt because {b} had come on top of {a}",
        "as for the plants {where}, {who} blamed the slugs for {a} and the damp for {b}",
        "a new hand called the {a} {where} harmless and never saw the {b}",
        "spraying {where} left the {b} dry, while the {a} went on growing",
        "you could not touch a plant {where} without finding {a} or {b}",
    ),
    asked_forms=(
        "{who} brought in a twig with {a} and {b}",
        "a twig covered in {a} has {b} too",
        "{b} were seen today, and so were {a}",
        "{a} one day, {b} the next",
        "somebody called about {b} along with {a}",
        "this time it is {a} with {b}",
        "has anyone dealt with {a} that come with {b}?",
        "{who} reports {b}, but also {a}",
    ),
    test_asked_forms=(
        "one fig tree suffers from {a} and {b}",
        "where {b} are, {a} are not far",
        "{who} is puzzled by {b} combined with {a}",
        "is it the {a} or the {b} that matter?",
        "{a} again, this time joined by {b}",
        "not only {a} but {b} too, wrote {who}",
    ),
)

_SIGNALS = Family(
    name="river signals",
    topic="Signal log of the lock keepers",
    class_word="signal",
    adjectives=_items(
        "green|slow|double|crossed|low|swinging|amber|muffled|paired|rapid|white|long|"
        "short|slanted|rising|hooded|triple|faint|steady|broken"
    ),
    nouns=_items(
        "lanterns|whistles|flags|drumbeats|rockets|bells|pennants|horn calls|flares|lamps|"
        "gongs|streamers|shutters|flashes|torches|kites|smoke puffs|cannon shots|"
        "hand waves|mirrors|discs|cones|baskets|booms|sirens|chimes|paddles|vanes|ribbons|"
        "beacons|clappers|candles|oars|boards|barrels|shields|rattles|pipes|buoys|balls|"
        "arms|wreaths|cymbals|spars|tassels|banners|bugle notes|poles"
    ),
    places=_items(
        "from the upper lock|off the timber wharf|below the weir|at the bend|"
        "from the coal barge|by the customs steps|on the far bank|at the swing bridge|"
        "near the dry dock|from the dredger|under the viaduct|at the river mouth"
    ),
    openings=(
        "shortly after midnight",
        "as the fog came down",
        "at the change of the watch",
        "with the tide turning",
        "just before dawn",
        "in heavy rain",
        "twice this week",
        "while the gates were closing",
    ),
    forms=(
        "{who} logged {a} and then {b} {where}",
        "the watch saw {a} {where}, answered by {b}",
        "{a} {where} were followed by {b} within a minute",
        "a crew reported {b} {where} and asked {who} whether the {a} belonged to them",
        "{who} counted the {a} {where} and very nearly missed the {b}",
        "somebody was sending {a} {where}, together with {b}",
        "there was no mistaking the {b} {where}, nor the {a} that came with them",
        "the signal {where} opened with {a} and closed with {b}",
        "all traffic stopped when {b} went up {where} beside the {a}",
        "{who} woke the keeper because of {a} {where}, mixed with {b}",
        "through the glass {who} made out {b} {where} and, a little higher, {a}",
        "the skipper swore that {a} {where} had been given before the {b}",
        "two boats exchanged {a} {where} until {b} put an end to it",
        "first the {b} {where}, then a pause, and then {a}",
        "the log had {a} {where} on one line and {b} on the next",
        "{who} took the {a} {where} for a joke until the {b} started",
        "the ferry held back on account of {b} {where} and {a} over the water",
        "what reached {who} {where} was a set of {a} with {b} in between",
        "the apprentice drew the {b} {where} in the book and noted {a} below",
        "an old hand explained to {who} the {a} {where}, but not the {b}",
        "the pilots answered the {a} {where} with care, since {b} had come along",
        "{b} {where} brought {who} to the window, and there were {a} too",
        "the keeper's wife heard of {a} {where} and saw the {b} herself",
        "no boat moved {where} while {a} and {b} were being given",
    ),
    test_openings=(
        "late in the evening",
        "on the night of the regatta",
        "during the flood watch",
        "when the ice broke up",
    ),
    test_forms=(
        "{who} could not tell what {a} {where} meant beside {b}",
        "a tug gave {b} {where}, and the reply was {a}",
        "everyone on deck turned to the {a} {where} and the {b} beyond",
        "the relief crew found a note about {b} and {a} {where}",
        "either side of the channel {where} had {a}, with {b} in the middle",
        "for an hour {who} watched {b} {where} giving way to {a}",
        "{who} should have entered {a} and {b} {where} under one number",
        "the harbour master wanted to know who sent the {b} {where} after the {a}",
        "there came out of the dark {where}, as {who} later wrote, {a} and {b}",
        "the children {where} copied the {b}, though the {a} were beyond them",
        "{a} and nothing else would have been normal {where}, but {who} saw {b}",
        "a second report to {who} spoke of {a} {where} and repeated the {b}",
        "a coal heaver timed the {a} {where} and said that the {b} were shorter",
        "the {b} {where} frightened a horse, and the {a} did the rest",
        "instead of the usual lights {where}, {who} met with {a} and {b}",
        "the lock stayed shut because {a} had been given {where}, then {b}",
        "up on the roof {who} had a clear view of the {a} {where} and the {b} behind",
        "of all that was sent {where}, only {a} and {b} were understood",
        "{who} answered {b} {where} with a wave and was given {a} in return",
        "fishermen talked about {b} {where} long after the {a} had ceased",
    ),
    asked_forms=(
        "{who} noted {a}, {b}, then silence",
        "{b} came in along with {a}",
        "{a} one moment, {b} the next",
        "a raft passed, giving {a} and {b}",
        "has anyone read {a} together with {b}?",
        "{who} reports {b}, but also {a}",
        "this time it was {a} with {b}",
        "somebody upstream used {b} and {a} today",
    ),
    test_asked_forms=(
        "{a} again, this time joined by {b}",
        "what {who} noticed today was {b} plus {a}",
        "not only {a} but {b} too, wrote {who}",
        "is it the {a} or the {b} that matter?",
        "{b} over there, {a} over here",
        "where {b} are, {a} are not far",
    ),
)

_WORKSHOP = Family(
    name="guild orders",
    topic="Order book of the guild hall",
    class_word="guild",
    adjectives=_items(
        "copper|waxed|oak|braided|hollow|tarred|pewter|carved|woollen|tempered|pleated|"
        "lacquered|brass|horn|bevelled|quilted|ribbed|gilded|ashwood|linen"
    ),
    nouns=_items(
        "rivets|cords|staves|buckles|hinges|sleeves|spindles|wedges|hoops|tiles|handles|"
        "panels|pegs|straps|bobbins|clasps|rollers|brackets|funnels|cushions|washers|"
        "ladles|saddles|shuttles|frames|plugs|lids|toggles|hooks|trays|gaskets|laces|"
        "collars|sockets|mallets|bellows|caps|chisels|spools|levers|trestles|blinds|"
        "tassels|nozzles|shelves|grips|pulleys|rods"
    ),
    places=_items(
        "for the new theatre|for a ship in the roads|for the almshouse|for the brewery|"
        "for the bishop's barge|for the night market|for the grain store|"
        "for the toll house|for a wedding party|for the school|for the fire watch|"
        "for the bathhouse"
    ),
    openings=(
        "before the holiday",
        "at the last meeting",
        "as in every spring",
        "early in the week",
        "at the end of the month",
        "this time",
        "according to the steward",
        "for the second time this year",
    ),
    forms=(
        "{who} ordered {a} and {b} {where}",
        "a letter asked for {b} {where}, and for {a} of the same quality",
        "the foreman needed {a} {where} and would take {b} if there were any",
        "{who} came about {b} {where} and left with a quote for {a}",
        "forty {a} were wanted {where}, besides a dozen {b}",
        "someone had to make {a} {where} to go with the {b}",
        "the {b} delivered {where} were sound, but the {a} had to be done again",
        "a drawing showed {a} {where}, held together by {b}",
        "{who} wanted to know the price of {a} {where} and that of {b}",
        "the job {where} came down to {b}, with some {a} at the end",
        "no {a} had arrived {where}, so {who} could not fit the {b}",
        "there was a shortage of {b} {where}, and {a} were needed even more",
        "{who} took all the measures {where} and asked for {a} as well as {b}",
        "the apprentices started on the {a} {where} while {who} looked for {b}",
        "the order {where} listed {b} on the first page and {a} on the second",
        "what {who} had in mind {where} were {a} rather than more {b}",
        "the {b} supplied {where} were worn out, and new {a} would not hurt either",
        "{who} was to have the {a} {where} at once and the {b} a day later",
        "a cart with {b} {where} had to wait until the {a} were packed",
        "the sum covered {a} {where}, but {who} had to pay for the {b}",
        "{b} {where} were urgent, whereas {who} could wait for the {a}",
        "a porter broke several {a} meant {where} and cracked some {b}",
        "{who} praised the {b} made {where} and at once asked for {a}",
        "two masters quarrelled over who made the {a} {where} and who the {b}",
    ),
    test_openings=(
        "this morning",
        "late last week",
        "after some haggling",
        "at the guild dinner",
    ),
    test_forms=(
        "{who} was glad of {a} {where}, and of {b} as well",
        "the inspector rejected the {b} {where} and had doubts about the {a}",
        "{who} started collecting {a} {where}, having collected the {b} already",
        "no work could begin {where} without {b} and without {a}",
        "a sample of the {a} {where} was approved, and the {b} came next",
        "half the bill {where} was for {b}, half for {a}",
        "word got round that {who} had promised {a} and {b} {where}",
        "old {b} {where} were good enough, as long as the {a} were new",
        "the widow who ordered everything {where} insisted on {a} and {b}",
        "a note told {who} to bring {b} {where} and not to forget the {a}",
        "with {a} in one crate and {b} in the other, {who} sent everything off {where}",
        "a slip in the order {where} left {who} with too many {b} and not enough {a}",
        "the cost of the {a} {where} was shared, and {who} paid for the {b}",
        "besides {b}, the contract {where} mentioned {a} in small print",
        "{who} had never made {a} {where} but knew all about {b}",
        "the last set of {b} {where} left the shop along with {a}",
        "a rival offered {a} {where} for less, though not the {b}",
        "somebody had counted the {b} {where} twice and forgotten the {a}",
        "since the {a} {where} were late, {who} began with the {b}",
        "an earl's agent looked at {b} {where} and ended up buying {a}",
    ),
    asked_forms=(
        "{who} wants {a} and {b}",
        "{b} are required, and {a} too",
        "has anyone offered {a} together with {b}?",
        "somebody called about {b} along with {a}",
        "{a} one day, {b} the next",
        "this time it is {a} with {b}",
        "{who} is after {b}, but also {a}",
        "a stranger tried to buy {a} and {b}",
    ),
    test_asked_forms=(
        "{a} again, this time joined by {b}",
        "not only {a} but {b} too, wrote {who}",
        "is it the {a} or the {b} that matter?",
        "{who} wonders about {b} plus {a}",
        "where {b} are, {a} are not far",
        "let there be {b}, and plenty of {a}",
    ),
)

_DESK = Family(
    name="counter requests",
    topic="Sorting notes of the ferry office",
    class_word="counter",
    adjectives=_items(
        "lost|unpaid|torn|late|stamped|doubtful|borrowed|sealed|foreign|spare|faded|joint|"
        "heavy|private|seasonal|missing|returned|unsigned|overdue|duplicate"
    ),
    nouns=_items(
        "umbrellas|tolls|permits|parcels|tickets|keys|vouchers|crates|invoices|passes|"
        "bicycles|timetables|letters|deposits|receipts|trunks|licences|contracts|coupons|"
        "maps|cheques|badges|telegrams|manifests|moorings|cabins|wagons|refunds|signatures|"
        "certificates|samples|catalogues|bookings|registers|petitions|pledges|hampers|"
        "suitcases|ledgers|fines|leases|drafts|visas|bonds|claims|dockets|tokens|warrants"
    ),
    places=_items(
        "at the front window|in the waiting room|at the back door|at the side gate|"
        "on the afternoon boat|in the ticket hall|at the pier|by the luggage scales|"
        "on the night service|at the island stop|in the courtyard|at the north landing"
    ),
    openings=(
        "first thing on Monday",
        "after the last boat",
        "during the lunch hour",
        "for the third time",
        "at the busiest moment",
        "shortly before closing",
        "one day in August",
        "while the clerk was away",
    ),
    forms=(
        "a traveller asked {who} about {a} {where} and then about {b}",
        "{who} had to deal with {b} {where}, and with {a} on top of that",
        "somebody left a note {where} about {a} and {b}",
        "the question {where} was whether {a} counted the same as {b}",
        "an elderly man complained {where} about {a}, though {b} were the real trouble",
        "{who} was told {where} that {b} were handled together with {a}",
        "there was a queue {where} because of {a}, and {b} made it longer",
        "a family wanted help {where} with {b} and had {a} to show",
        "the captain sent word {where} of {a} and enclosed a list of {b}",
        "{who} searched for {a} {where} and came across {b} instead",
        "nobody could explain {where} what happened to {b} when there were no {a}",
        "three people in a row came {where} with {a}, the last one also with {b}",
        "the clerk {where} refused the {b} and asked {who} for {a}",
        "to settle the matter of {a} {where}, {who} had to bring {b}",
        "the argument {where} started with {b} and went on to {a}",
        "a schoolgirl handed in {a} {where} and wished to see the {b}",
        "{who} got more questions {where} about {b} than about {a}",
        "it was not clear {where} who looked after {a}, let alone {b}",
        "a merchant offered to pay {where} for {a} if {who} could find the {b}",
        "everything {where} was in order except for the {b} and a few {a}",
        "{a} were piling up {where}, and {who} had no room for {b}",
        "the form used {where} had a line for {b} but none for {a}",
        "a stranger offered {who} {a} {where} in exchange for {b}",
        "the inspector found {b} {where} among the {a}",
    ),
    test_openings=(
        "on the day of the strike",
        "shortly after the bell",
        "early in the season",
        "late in the afternoon",
    ),
    test_forms=(
        "{who} wished to be told {where} what to do with {a} and {b}",
        "a couple waited {where} for an hour on account of {b} and {a}",
        "the {a} that {who} reported {where} had to do with {b}",
        "anyone with {b} {where} was sent on, and so was anyone with {a}",
        "a nun inquired {where} after {a} and was surprised to hear of {b}",
        "{who} set the {b} aside {where} until the {a} were cleared up",
        "more {a} than ever were counted {where}, and fewer {b}",
        "a driver insisted {where} on {b} or at least {a}",
        "nobody {where} had warned {who} about the {a}, or about {b} for that matter",
        "a boy hoped to fetch {b} {where} and was given {a}",
        "all the talk {where} was of {b}, and {who} had had enough of {a}",
        "the office owed an answer {where} about {a} and an apology for the {b}",
        "the new clerk {where} mixed up {a} and {b} until {who} stepped in",
        "a lawyer spoke {where} of {b} at length and of {a} in passing",
        "there was no end {where} of people with {a}, some of whom had {b} as well",
        "{who} swore never again to accept {b} {where} without {a}",
        "a sign {where} forbade {a} but did not mention {b}",
        "the whole morning went by {where} over {b}, and {who} put off the {a}",
        "a band of pilgrims turned up {where} with {a} and could not do without {b}",
        "what annoyed {who} {where} were the {b}, not so much the {a}",
    ),
    asked_forms=(
        "{who} has {a} and {b}",
        "{b} turned up today, and so did {a}",
        "has anyone dealt with {a} together with {b}?",
        "somebody rang about {b} along with {a}",
        "{a} one day, {b} the next",
        "this time it is {a} with {b}",
        "{who} wrote about {b}, but also {a}",
        "a sailor brought {a} and {b}",
    ),
    test_asked_forms=(
        "{a} again, this time joined by {b}",
        "not only {a} but {b} too, wrote {who}",
        "is it the {a} or the {b} that matter?",
        "{who} wonders about {b} plus {a}",
        "where {b} are, {a} are not far",
        "today it is {b} next to {a}",
    ),
)

FAMILIES: tuple[Family, ...] = (_ORCHARD, _SIGNALS, _WORKSHOP, _DESK)
