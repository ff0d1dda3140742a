"""Pools of names and values for procedural texts, each cut into three disjoint splits.

Which split a string belongs to depends on the string alone (sha256), so a name or value met in
training never occurs in the same role, or in another, in a test episode. Not here: sentences.
"""

import functools
import hashlib
from collections.abc import Callable, Iterable

from memgym.errors import UsageError, nearest
from memgym.tasks.procedural.engine import check_split

__all__ = ["POOLS", "pool", "split_of", "with_article"]

_FIRST = """
Ada Adele Agnes Aisha Albin Alena Alice Alma Amara Amir Anders Anika Anselm Anton Arlo Arturo Astrid
August Aurel Barnaby Bashir Beatrix Bela Benedict Bettina Birgit Boris Bridget Bruno Callum Camille
Carmen Cecil Celia Cyrus Dagny Damon Daphne Darius Delia Desmond Dina Dorian Edda Edgar Edith Eero
Elena Elias Eliza Elmer Elsa Emil Enid Erika Esme Esther Ethan Fabian Farah Felix Fergus Fiona Flora
Frida Gareth Gemma Gideon Gilda Giles Goran Greta Gustav Hamid Hanna Harriet Hattie Hector Hedda
Helge Henrik Hilda Hugo Ida Idris Ilse Imogen Ines Ingrid Irene Irma Isolde Ivan Ivo Jamal Janek
Jasper Joan Jonas Jorge Josefa Judith Juno Kamal Karin Karl Katya Keiko Kenji Kirsten Klara Kofi
Lars Latif Laszlo Leila Lena Leon Leonie Lewin Liam Lila Linus Liv Lorna Lotte Louis Lucia Ludwig
Luther Mabel Magda Magnus Malik Mara Marcel Margit Marius Marta Matilda Maud Maxim Mei Milan Mina
Mira Mohan Moira Mona Morten Nadia Naomi Natan Nell Nestor Nils Nina Noor Nora Oda Olaf Olga Oren
Orla Oscar Otto Owen Paula Pavel Pedro Petra Philippa Piers Priya Quentin Rachel Ragnar Ramon Rana
Renata Rhoda Rolf Rosalind Rufus Ruth Sabine Salma Samir Sanna Saskia Selma Serge Sigrid Silas
Simone Solveig Sonja Stefan Sunita Sven Sylvia Tamar Tarek Tessa Thea Tilda Tobias Torsten Ulla
Ursula Uwe Valerie Vera Viggo Viktor Vilma Walter Wanda Wilma Xenia Yara Yasmin Yusuf Zelda Zora
"""

_LAST_STEMS = """
Ash Black Brad Burn Calder Carl Clay Cran Dun Ell Fair Gar Gold Hal Hart Hather Kings Lang Lind Mar
Mel Mill Nor Oak Pem Pen Rad Red Rook Rush Sel Shel Stan Thorn Wake Wal Whit Win Wool Wyn
"""
_LAST_ENDINGS = """
bourne brook croft dale field ford gate grove hurst ley man more qvist ridge stead stone strom ton
well wick wood worth
"""

_TOWN_STEMS = """
Ald Amber Arn Bel Bram Brine Cald Cors Dray Drum Eld Esk Fen Fin Gal Glen Grim Haver Hol Ing Jor Kel
Kil Lor Lun Mer Mor Nes Orm Ost Pell Quar Ras Ryd Sal Skel Sol Stor Tam Tarn Tor Ul Var Ves Wend Yar
"""
_TOWN_ENDINGS = """
haven mouth minster port vik borg mere holm fell gard stow firth pool thorpe cross castle
"""

_NATURE = """
Alder Amaranth Aspen Bayleaf Beech Bluebell Bracken Briar Bulrush Burdock Buttercup Cedar Chestnut
Clover Columbine Cormorant Cowslip Crocus Curlew Cypress Dogwood Dunlin Elder Falcon Fennel Fern
Foxglove Gannet Gentian Gorse Hawthorn Hazel Heather Heron Holly Hornbeam Hyssop Ivy Jasmine Jackdaw
Juniper Kestrel Kingfisher Lapwing Larch Laurel Lavender Linden Lupin Magpie Maple Marigold Myrtle
Nettle Nightjar Oriole Osprey Peony Petrel Plover Poplar Primrose Quince Rowan Saffron Sandpiper
Sedge Sorrel Spruce Starling Sycamore Tamarisk Tansy Teal Teasel Thistle Thrush Valerian Verbena
Willow Woodlark Yarrow Yew
"""
_CODE_WORDS = (
    "Amber Azure Bronze Copper Crimson Golden Indigo Ivory Northern Scarlet Silver Southern"
)
_HOUSES = "Hall House Tower Pavilion Court Lodge Manor Place"
_LANDMARKS = (
    "Bridge|Library|Lighthouse|Theatre|Observatory|Viaduct|Bathhouse|Chapel|Windmill|Market Hall|"
    "Conservatory|Bandstand|Clock Tower|Courthouse|Almshouse|Aqueduct|Fountain|Granary|"
    "Watermill|Pier|Monastery|Opera House|Town Gate|Gatehouse"
)
_COMPANY_STEMS = """
Anvil Arclight Argent Basalt Beacon Bellwether Borealis Brightwater Capstan Cardinal Cobalt Compass
Copperfield Crescent Driftwood Eastgate Ember Equinox Everglade Fairwind Firelight Flint Foundry
Gatehouse Granite Greenway Halberd Halcyon Harbourside Highline Ironbridge Keystone Lakeview Lantern
Lodestar Longreach Meridian Millrace Monarch Moorland Northlight Obsidian Orbit Outpost Paragon
Pinnacle Quarry Quicksilver Ravensgate Redstone Rivermark Sandstone Seabright Silverline Skylark
Slate Solstice Southbank Starboard Summit Sundial Tidewater Topaz Tradewind Trellis Vanguard Viaduct
Waypoint Westering Zenith
"""
_COMPANY_KINDS = """
Optics Press Freight Textiles Instruments Ceramics Insurance Shipping Records Robotics Foods
Pharmaceuticals Timber Logistics Glassworks Publishing Energy Software Motors Seeds
"""

_TRADES = """
aviation bridge canal cheese dairy elevator fashion ferry forest furniture glacier harbour hospital
housing irrigation lighthouse livestock museum mushroom opera orchard pension pottery quarry railway
reservoir satellite school shipyard sugar tea telescope textile theatre tram tunnel vineyard
warehouse wetland wool
"""
_ROLES = """
archivist auditor buyer chemist electrician engineer historian inspector manager photographer
planner researcher surveyor technician trainer
"""

_PETS = """
Biscuit Bramble Bubbles Button Caramel Chutney Cinders Cobweb Crumpet Custard Domino Dumpling
Ember Figaro Fidget Gizmo Hobnob Inky Jellybean Kipper Licorice Marbles Marmalade Mittens Mochi
Muffin Noodle Nugget Nutmeg Olive Paprika Patches Pebble Pepper Pickles Pippin Pretzel Pudding
Pumpkin Puzzle Radish Rocket Scribble Shadow Smudge Sprocket Tadpole Thimble Toffee Truffle Tumble
Turnip Waffles Whisker Widget Zigzag
"""
_PET_TITLES = "Captain Colonel Countess Duchess Lady Little Old Princess Sergeant Sir"

_FLAVOURS = """
almond apricot barley basil beetroot chestnut cider coconut coriander courgette cranberry fennel fig
ginger hazelnut leek lemon lentil mango mushroom mustard parsnip peppercorn pistachio plum
pomegranate rhubarb saffron sage sesame spinach tamarind tarragon thyme turmeric walnut
"""
_DISHES = """
bake broth casserole chowder crumble curry goulash gratin hotpot mousse pie pilaf porridge pudding
risotto salad sorbet soup stew strudel stuffing tart
"""

_MATERIALS = """
amber brass bronze carved copper cracked crimson dented embroidered enamel engraved faded folding
gilded glass green indigo ivory lacquered leather maple marble mahogany miniature mottled oval
painted pearl pewter polished porcelain quilted rusty scarlet silver striped tin turquoise varnished
velvet violet walnut wicker wooden
"""
_THINGS = (
    "accordion|armchair|barometer|birdcage|bookend|bracelet|camera|candlestick|cello|chess set|"
    "clarinet|clock|compass|drum|fountain pen|globe|gramophone|hourglass|kaleidoscope|kettle|kite|"
    "lamp|lantern|locket|magnifier|mandolin|map case|metronome|microscope|mirror|music box|"
    "paperweight|pocket watch|puppet|rocking horse|saddle|sewing box|sextant|snuffbox|"
    "spinning wheel|suitcase|tea set|telescope|toolbox|trumpet|typewriter|umbrella|vase|"
    "violin|weathervane"
)
_SPOTS = (
    "top drawer|bottom drawer|left-hand cupboard|right-hand cupboard|corner cupboard|"
    "upper cupboard|hidden compartment|blue crate|grey crate|steel locker|iron chest|"
    "laundry basket|tall cabinet|low cabinet|oak sideboard|linen trunk"
)
_ROOMS = (
    "attic|boathouse|cellar|cloakroom|coach house|darkroom|garage|garden shed|greenhouse|"
    "guest room|kitchen|library|loft|music room|nursery|pantry|sewing room|stable|studio|"
    "summer house|sunroom|tack room|workshop"
)
_MONTH_DAYS = (
    ("January", 31), ("February", 28), ("March", 31), ("April", 30), ("May", 31), ("June", 30),
    ("July", 31), ("August", 31), ("September", 30), ("October", 31), ("November", 30),
    ("December", 31),
)  # fmt: skip


def _pairs(left: str, right: str, joint: str = " ") -> list[str]:
    lefts, rights = _items(left), _items(right)
    return [f"{a}{joint}{b}" for a in lefts for b in rights if a[-1] != b[0]]


def _items(words: str) -> list[str]:
    return words.split("|") if "|" in words else words.split()


# Each pool's strings, made when first wanted. A pair is one string: its halves may meet in other
# pairs of other splits, the pair itself may not.
POOLS: dict[str, Callable[[], Iterable[str]]] = {
    "person_first": lambda: _items(_FIRST),
    "person_last": lambda: _pairs(_LAST_STEMS, _LAST_ENDINGS, ""),
    "town": lambda: _pairs(_TOWN_STEMS, _TOWN_ENDINGS, ""),
    "building": lambda: _pairs(_NATURE, _HOUSES),
    "landmark": lambda: [f"{a} {b}" for a in _items(_NATURE) for b in _items(_LANDMARKS)],
    "company": lambda: _pairs(_COMPANY_STEMS, _COMPANY_KINDS),
    "occupation": lambda: _pairs(_TRADES, _ROLES),
    "pet": lambda: _pairs(_PET_TITLES, _PETS),
    "dish": lambda: _pairs(_FLAVOURS, _DISHES),
    "object": lambda: [f"{a} {b}" for a in _items(_MATERIALS) for b in _items(_THINGS)],
    "spot": lambda: [f"{a} in the {b}" for a in _items(_SPOTS) for b in _items(_ROOMS)],
    "year": lambda: [str(year) for year in range(1640, 2020)],
    "day": lambda: [f"{day} {month}" for month, days in _MONTH_DAYS for day in range(1, days + 1)],
    "project": lambda: [f"Project {a} {b}" for a in _items(_CODE_WORDS) for b in _items(_NATURE)],
    "code": lambda: [str(number) for number in range(2100, 9900, 7)],
}


def split_of(word: str) -> str:
    """Return the split that ``word`` belongs to: 6 of 10 strings train, 2 validation, 2 test."""
    tenth = hashlib.sha256(word.encode()).digest()[0] * 10 // 256
    return "train" if tenth < 6 else "validation" if tenth < 8 else "test"


@functools.cache
def pool(name: str, split: str) -> tuple[str, ...]:
    """Return the strings of pool ``name`` in ``split``, in a fixed order, without repeats.

    Raises:
        UsageError: no such pool or split.
    """
    if name not in POOLS:
        raise UsageError(f'unknown word pool "{name}": {nearest(name, POOLS)}')
    check_split(split)
    return tuple(word for word in dict.fromkeys(POOLS[name]()) if split_of(word) == split)


def with_article(noun: str) -> str:
    """Return ``noun`` after "a" or "an", as its first letter wants (no pool has silent letters)."""
    return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"
