"""The words of the sample stories: who, where, what, and how it feels."""

from __future__ import annotations

from typing import NamedTuple


class Person(NamedTuple):
    """A name and the four pronouns that stand for it later in the story."""

    name: str
    he: str
    him: str
    his: str


class Thing(NamedTuple):
    """A toy or tool: what it is called, what one does with it, and where it hides when it is lost."""

    noun: str
    play: str
    hiding: str


class Place(NamedTuple):
    """A place as a goal ("to the park"), as a location ("in the park"), and something that is always there."""

    name: str
    within: str
    feature: str


def _people(names: str, he: str, him: str, his: str) -> tuple[Person, ...]:
    return tuple(Person(name, he, him, his) for name in names.split())


GIRLS = _people(
    "Mia Lily Anna Zoe Ruby Nora Emma Ivy Ella Maya Lucy Rosa Sara Lena Clara Amy Tess Nina Hana Olga Vera Kate Jane "
    "Molly Daisy Grace Alma Ada Wanda Priya",
    "she",
    "her",
    "her",
)
BOYS = _people(
    "Tom Ben Max Leo Sam Jack Tim Noah Finn Omar Luis Otto Paul Adam Hugo Ned Dan Ravi Kenji Peter Emil Ivan Joe Carl "
    "Felix Oscar Theo Marco Yusuf Bob",
    "he",
    "him",
    "his",
)
PEOPLE = tuple(person for pair in zip(GIRLS, BOYS, strict=True) for person in pair)

# An animal of a story is named by one of these and called by its kind the first time.
ANIMALS = (
    "rabbit", "bear", "fox", "mouse", "duck", "hedgehog", "squirrel", "frog", "owl", "turtle", "beaver", "badger",
    "otter", "goat", "lamb", "pony", "raccoon", "sparrow", "mole", "deer",
)  # fmt: skip
ANIMAL_NAMES = (
    *_people("Pip Bram Rusty Toby Bruno Moss Rolo Hazel Chip Gus Biscuit Dusty", "he", "him", "his"),
    *_people("Fern Tilly Poppy Dot Juniper Pepper Olive Clover Suki Wren Maple Honey", "she", "her", "her"),
)
ELDERS = (
    Person("Grandma", "she", "her", "her"),
    Person("Grandpa", "he", "him", "his"),
    Person("Mom", "she", "her", "her"),
    Person("Dad", "he", "him", "his"),
    Person("Aunt May", "she", "her", "her"),
    Person("Uncle Joe", "he", "him", "his"),
)

COLOURS = ("red", "blue", "green", "yellow", "orange", "white", "purple", "pink", "brown", "black")
LOOKS = ("old", "new", "shiny", "soft", "small", "big", "round", "pretty")
THINGS = (
    Thing("ball", "throw", "under a bush"),
    Thing("kite", "fly", "high in a tree"),
    Thing("boat", "sail", "behind a wet stone"),
    Thing("drum", "play", "under the bed"),
    Thing("hat", "wear", "on top of the gate"),
    Thing("scarf", "wear", "on a thorny branch"),
    Thing("wagon", "pull", "behind the shed"),
    Thing("bell", "ring", "in the tall grass"),
    Thing("doll", "hug", "inside a flower pot"),
    Thing("whistle", "blow", "in the pocket of an old coat"),
    Thing("puzzle", "solve", "behind the big chair"),
    Thing("book", "read", "under a blanket"),
    Thing("lantern", "light", "behind the door"),
    Thing("basket", "carry", "beside the well"),
    Thing("shovel", "dig with", "deep in the sand"),
    Thing("marble", "roll", "between two stones"),
    Thing("balloon", "hold", "up near the roof"),
    Thing("train", "push", "under the table"),
    Thing("button", "count", "in a crack of the floor"),
    Thing("flute", "play", "on the window sill"),
    Thing("cup", "drink from", "behind the bucket"),
    Thing("robot", "build", "in the toy box"),
    Thing("paintbrush", "paint with", "behind a row of jars"),
    Thing("sled", "ride", "behind a pile of wood"),
)
PLACES = (
    Place("the park", "in the park", "the old swing"),
    Place("the beach", "at the beach", "the grey rocks"),
    Place("the forest", "in the forest", "the tallest pine"),
    Place("the garden", "in the garden", "the stone wall"),
    Place("the lake", "by the lake", "the wooden dock"),
    Place("the farm", "on the farm", "the red barn"),
    Place("the market", "at the market", "the bread stand"),
    Place("the hill", "on the hill", "the lonely oak"),
    Place("the river", "by the river", "the little bridge"),
    Place("the meadow", "in the meadow", "the hollow log"),
    Place("the school yard", "in the school yard", "the long bench"),
    Place("the orchard", "in the orchard", "the crooked apple tree"),
    Place("the village square", "in the village square", "the fountain"),
    Place("the pond", "by the pond", "the lily pads"),
    Place("the castle ruin", "at the castle ruin", "the broken tower"),
    Place("the playground", "at the playground", "the tall slide"),
)
FOODS = ("bread", "soup", "apple pie", "pancakes", "berry cake", "honey cookies", "warm milk", "plums", "noodles")
PLANTS = ("sunflower", "pumpkin", "bean", "tomato", "tulip", "strawberry", "pea", "carrot")
LOST_ANIMALS = ("kitten", "puppy", "duckling", "chick", "little bird", "baby goat", "baby hedgehog", "lamb")
BRAVE_DEEDS = (
    ("climb to the top of the ladder", "the ladder"),
    ("jump into the water", "the water"),
    ("walk over the wobbly bridge", "the bridge"),
    ("sing in front of everyone", "the stage"),
    ("sleep with the lamp off", "the dark"),
    ("ride the tall horse", "the horse"),
    ("go down the long slide", "the slide"),
    ("say hello to the new neighbors", "the new door"),
    ("pet the big dog", "the big dog"),
    ("swing as high as the others", "the swing"),
)
NOISES = (
    ("a scratching sound", "a branch that moved in the wind"),
    ("a soft tapping", "the rain on an old bucket"),
    ("a low hum", "a sleepy bee in a jar"),
    ("a squeak", "a mouse with a piece of cheese"),
    ("a thump", "the cat, who had jumped off the shelf"),
    ("a whistle", "the wind in a hole of the fence"),
    ("a rattle", "a loose wheel on the cart"),
    ("a splash", "a frog in the rain barrel"),
)
HEAVY = ("log", "rock", "turnip", "box of apples", "sack of corn", "stuck cart", "snow ball", "fallen branch")
RULES = (
    ("touch the hot stove", "burned a finger a little", "put cold water on it"),
    ("eat the cookies before dinner", "got a bad tummy ache", "made a cup of mint tea"),
    ("run on the wet stones", "slipped and fell", "washed the sore knee"),
    ("go past the gate alone", "could not find the way back", "took {him} by the hand"),
    ("open the bird cage", "saw the bird fly up to the roof", "held out some seeds until it came down"),
    ("play with the paint in the house", "made a big spot on the rug", "brought soap and a brush"),
)
TIMES = (
    "One sunny morning", "One day", "One windy day", "On a cold day", "One quiet evening", "On a warm afternoon",
    "Early one morning", "On the first day of spring", "One cloudy day", "After lunch", "On a bright Sunday",
)  # fmt: skip
HAPPY = ("happy", "glad", "proud", "full of joy", "very happy", "so pleased")
SAD = ("sad", "upset", "gloomy", "very sad", "close to tears", "unhappy")
ENDINGS = (
    "From that day on, {hero} and {friend} were the best of friends.",
    "That night {hero} slept with a big smile.",
    "And {hero} never forgot that day.",
    "They all laughed and went home together.",
    "When the sun went down, they walked home hand in hand.",
    "It was the best day of the whole year.",
    "{hero} told the story to everyone at home.",
    "The next day they did it all again.",
)
