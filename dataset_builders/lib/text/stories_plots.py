"""The plots of the sample stories: each is a list of beats, each beat a list of alternative sentences.

A sentence names what it speaks of by slots (`{hero}`, `{his}`, `{object}`, `{place}` ...), which keep their meaning
through the whole story. A beat whose sentences begin with "?" may be left out. Slots are listed in `stories.py`.
"""

from __future__ import annotations

Beat = tuple[str, ...]
Plot = tuple[Beat, ...]

LOST: Plot = (
    ("{He} had {a_object} that {he} loved to {play}.", "{He} liked to {play} {his} {object} every day."),
    ("{when}, {hero} took the {noun} to {place}.", "{when}, {hero} went to {place} with the {noun}."),
    (
        "But then the {noun} was gone!",
        "After a while {hero} could not find the {noun} anywhere.",
        "Then the wind blew, and the {noun} was gone.",
    ),
    ("{hero} was {sad}.", "{hero} sat down by {feature} and felt {sad}."),
    (
        '{friend} came by and asked, "What is wrong?" "I lost my {noun}," said {hero}.',
        '"Why do you cry?" asked {friend}. "My {noun} is lost," said {hero}.',
    ),
    ('"Do not worry," said {friend}. "I will help you look."', '"Let us look together," said {friend}.'),
    ("?They looked near {feature}, but it was not there.", "?First they looked behind {feature}. Nothing!"),
    (
        "Then {friend} saw something {colour} {hiding}. It was the {noun}!",
        "At last {friend} found the {object} {hiding}.",
    ),
    ('"Thank you!" said {hero}, and {he} was {happy} again.', "{hero} gave {friend} a big hug and was {happy}."),
)
SHARE: Plot = (
    (
        "{when}, {hero} was {within} and saw {friend} with {a_object}.",
        "{when}, {friend} came to {place} with {a_object}.",
    ),
    ("{hero} wanted to {play} the {noun} too.", "{hero} wished that {he} had a {noun} like that."),
    (
        '"Can I {play} it?" asked {hero}. "No, it is mine," said {friend}.',
        "{hero} tried to grab the {noun}, but {friend} held it tight.",
    ),
    (
        "{hero} was {sad}. Playing alone was no fun for {friend} either.",
        "So {hero} sat alone by {feature}, and {friend} stood alone with the {noun}.",
    ),
    (
        'Then {hero} had an idea. "I have {food} for two. Do you want some?"',
        "{hero} had some {food} in {his} bag. {He} gave {friend} half of it.",
    ),
    (
        '{friend} smiled. "You are kind. Let us share the {noun} too."',
        '"Thank you," said {friend}. "Now you can {play} my {noun}. We can take turns."',
    ),
    ("They played by {feature} until it was late.", "First {hero} had a turn, then {friend}, then {hero} again."),
    ("?{hero} learned that sharing makes everyone {happy}.", "?Both of them were {happy}."),
)
BRAVE: Plot = (
    ("{when}, {hero} and {friend} went to {place}.", "{when}, {friend} took {hero} to {place}."),
    (
        "All the others wanted to {deed}. But {hero} was afraid of {fear}.",
        "{friend} wanted to {deed}. {hero} looked at {fear} and felt {his} heart beat fast.",
    ),
    ('"I can not do it," {he} said.', '"What if something goes wrong?" {he} asked in a small voice.'),
    (
        '{friend} took {his} hand. "I was afraid too, the first time. Just try one small step."',
        '"It is fine to be afraid," said {friend}. "I will stay right beside you."',
    ),
    ("{hero} took a deep breath and counted to three.", "{hero} closed {his} eyes, then opened them again."),
    ("One, two, three! And then {he} did {deed_done}.", "Slowly, very slowly, {he} began to {deed}. And it worked!"),
    ('"You did it!" shouted {friend}.', "Everyone near {feature} clapped."),
    ("{hero} was {happy}. {fear_cap} did not look so scary now.", "{hero} felt {happy} and wanted to do it again."),
)
REPAIR: Plot = (
    (
        "{when}, {hero} made {a_object} for {friend}.",
        "{hero} worked all week to make {a_object}. It was a gift for {friend}.",
    ),
    ("{He} carried it to {place}, but {he} tripped near {feature}.", "On the way to {place} {he} fell over a root."),
    ("Crack! The {noun} broke in two.", "The {noun} hit the ground and broke."),
    ('{hero} was {sad}. "Now it is no good," {he} said.', '"Oh no!" cried {hero}. {He} was {sad}.'),
    (
        '{elder} saw it and said, "We can fix it with glue and some time."',
        '{elder} came to help. "A thing that is broken can be mended," {ehe} said.',
    ),
    (
        "They put the pieces together and waited until the glue was dry.",
        "{hero} held the pieces, and {elder} tied them with a string.",
    ),
    (
        'Then {hero} gave the {noun} to {friend}. "I love it," said {friend}.',
        '{friend} looked at the {object} and smiled. "You made this for me?"',
    ),
    (
        "?The {noun} had a little crack, but {friend} liked it even more for that.",
        "?{hero} was {happy}, and so was {elder}.",
    ),
)
ANIMAL: Plot = (
    (
        "{when}, {hero} heard a tiny cry {within}.",
        "{when}, {hero} was walking {within} when {he} heard a small sound.",
    ),
    (
        "Behind {feature} sat a {baby}. It was cold and alone.",
        "There, next to {feature}, was a {baby} with a hurt leg.",
    ),
    ('"Poor {baby}! Where is your mother?" said {hero}.', '"Do not be afraid, {baby}," {hero} said softly.'),
    (
        "{He} wrapped it in {his} coat and took it home to {elder}.",
        "{He} picked up the {baby} and ran home to {elder}.",
    ),
    (
        "{elder} gave the {baby} some food and a warm bed in a box.",
        '"It needs rest," said {elder}, and {ehe} made a bed of straw.',
    ),
    (
        "Every day {hero} fed the {baby}, and every day it grew stronger.",
        "{hero} and {friend} took care of the {baby} for seven days.",
    ),
    (
        "Then they took the {baby} back to {place}. Its mother was waiting!",
        "One day its mother came. The {baby} ran to her at once.",
    ),
    (
        "{hero} was a little {sad}, but also {happy}.",
        '"Goodbye, {baby}!" called {hero} and {friend}. They were {happy} for it.',
    ),
)
RULE: Plot = (
    ('"Please do not {forbidden}," {elder} said to {hero}.', '{elder} had one rule: "Do not {forbidden}."'),
    (
        "{when}, when {elder} was away, {hero} forgot the rule.",
        "But {hero} did not listen. {when}, {he} did it anyway.",
    ),
    ('?"Nobody will know," {he} told {friend}.', '?"I do not think we should," said {friend}.'),
    ("Then {hero} {harm}.", "It was fun for a moment. Then {hero} {harm}."),
    ("{He} was {sad} and called for {elder}.", '"Help!" {he} cried. {He} felt {sad}.'),
    ("Soon {elder} was there and {cure}.", "{elder} was not angry. {eHe} {cure}."),
    (
        '"I am sorry," said {hero}. "Now I know why you said it."',
        '"I should have listened," {he} said. "Rules keep us safe," said {elder}.',
    ),
    (
        "Then {elder} gave {him} some {food}, and all was well.",
        "{elder} gave {him} a hug, and {hero} was {happy} again.",
    ),
)
GROW: Plot = (
    ("{when}, {elder} gave {hero} a tiny {plant} seed.", "{when}, {hero} found a {plant} seed {within}."),
    (
        "{hero} put the seed in the ground near {feature} and gave it water.",
        "{He} dug a small hole, dropped in the seed and covered it with earth.",
    ),
    ("The next day {he} looked. Nothing! {hero} was {sad}.", '"Why does it not grow?" {hero} asked after one day.'),
    (
        '"You must wait," said {elder}. "Good things take time."',
        '{friend} said, "Seeds are slow. Give it water and sun."',
    ),
    (
        "So {hero} gave it water every morning and told it stories.",
        "Day after day {hero} gave it water. Day after day {he} waited.",
    ),
    ("Then a little green leaf came out of the ground!", "One morning there was a green tip in the earth!"),
    ("The leaf grew and grew, until there was a big {plant}.", "By summer the {plant} was taller than {friend}."),
    ("{hero} was {happy}. {He} shared it with {friend}.", '"We did it," said {hero}, {happy}. {friend} clapped.'),
)
RAIN: Plot = (
    (
        "{when}, {hero} and {friend} wanted to {play} the {object} {within}.",
        "{hero} and {friend} had a plan. They wanted to {play} the {object} {within}.",
    ),
    ("But when they came to {feature}, it began to rain.", "They put on their shoes. Then big drops began to fall."),
    (
        '"Our day is spoiled," said {hero}. {He} was {sad}.',
        '"Rain, rain, go away!" said {friend}. {hero} felt {sad}.',
    ),
    (
        '{friend} looked around and had an idea. "We can build a house out of blankets!"',
        '"Come in," said {elder}. "A wet day can be a fine day too."',
    ),
    (
        "They put two chairs together and hung a blanket over them.",
        "They made a cave under the table with all the pillows.",
    ),
    (
        "Inside they ate {food} and took turns with the {noun}.",
        "{elder} brought them {food}, and they kept the {noun} between them.",
    ),
    ("When the rain stopped, they did not even notice.", "Then the sun came out and made a rainbow over {place}."),
    ('"I like rain now," said {hero}, {happy}.', "?{hero} was {happy} after all."),
)
RACE: Plot = (
    (
        "{when}, there was a race from {feature} to the end of {place}.",
        "{when}, all the children came to {place} for a race.",
    ),
    (
        "{friend} was the fastest. {hero} was slow, but {he} never gave up.",
        "{hero} had trained for weeks. {friend} had not trained at all.",
    ),
    ("One, two, three, go! {friend} was ahead at once.", "The race began, and {friend} ran like the wind."),
    (
        "But near {feature} {friend} fell and hurt {fhis} foot.",
        "But then {friend} tripped over {a_object} and could not get up.",
    ),
    (
        '{hero} could have won. But {he} stopped. "Are you all right?"',
        "{hero} looked at the goal. Then {he} turned around and ran back.",
    ),
    (
        "{He} put an arm around {friend}, and they walked on together.",
        '"Lean on me," {he} said, and helped {friend} up.',
    ),
    (
        "They were the last, but everyone cheered for them.",
        "They crossed the line side by side. How the people clapped!",
    ),
    (
        '"You are a real friend," said {friend}, and {hero} was {happy}.',
        "{elder} gave {hero} some {food} as a prize. {He} was {happy}.",
    ),
)
GIFT: Plot = (
    (
        "Tomorrow was the birthday of {elder}, and {hero} had no gift. {He} was {sad}.",
        "{hero} wanted to give {elder} something nice, but {he} had no money.",
    ),
    ('{friend} said, "Make something yourself!"', '"What does {elder} like best?" asked {friend}.'),
    (
        "They went to {place} and looked for something good near {feature}.",
        "So the two of them walked to {place} and thought hard.",
    ),
    (
        "There {hero} found {a_object} that nobody wanted. It was dirty.",
        "An old man {within} gave them {a_object}. It was full of dust.",
    ),
    (
        "They washed the {noun} and tied a {colour2} ribbon around it.",
        "{hero} cleaned the {noun} and painted a {colour2} star on it.",
    ),
    ("?{friend} also made some {food}.", '?"And I will bring {food}," said {friend}.'),
    (
        "When {elder} saw the {noun}, {ehe} laughed with joy.",
        '"For me?" asked {elder}. {eHe} held the {noun} up to the light.',
    ),
    (
        '"This is the best gift of all," {ehe} said. {hero} was {happy}.',
        "{eHe} hugged {hero} and {friend}. {hero} felt {happy}.",
    ),
)
PULL: Plot = (
    (
        "{when}, {hero} found a {heavy} in the way {within}.",
        "{when}, a {heavy} lay right beside {feature}, and nobody could get past.",
    ),
    (
        "{He} pushed and pulled, but the {heavy} did not move.",
        '"I am strong," said {hero}. But the {heavy} stayed where it was.',
    ),
    ("{hero} was {sad} and sat down on the ground.", '"It is too heavy for me," {he} said, {sad}.'),
    (
        "{friend} came and pushed as well. It moved only a little.",
        "Then {friend} came to help. They pulled and pulled. Not enough!",
    ),
    (
        "So they called {elder}, and {ehe} brought a long rope.",
        '"We need one more," said {friend}. So they asked {elder}.',
    ),
    (
        '"All together now!" One, two, three, and the {heavy} rolled away.',
        "{hero} pulled, {friend} pulled, and {elder} pulled. And the {heavy} came loose!",
    ),
    ('"Alone I could not do it," said {hero}. "Together we can."', "They fell over in the grass and laughed."),
    ("Then they all had {food} {within}, and {hero} was {happy}.", "{hero} was {happy} to have such friends."),
)
NOISE: Plot = (
    (
        "{when}, {hero} and {friend} stayed in a little hut near {place}.",
        "{when}, {hero} stayed with {friend} in a house by {place}.",
    ),
    ("At night they heard {noise}.", "In the middle of the night {hero} woke up. There was {noise}."),
    (
        '"Is it a monster?" asked {hero}, and hid under the blanket.',
        '"Did you hear that?" {hero} asked. {His} knees were shaking.',
    ),
    (
        '"Let us go and see," said {friend}. {fHe} took a lamp.',
        "{friend} was afraid too, but {fhe} took a lamp and opened the door.",
    ),
    ("They went out on their toes, past {feature}.", "Step by step they came closer. The sound grew louder."),
    ("Then they saw it. It was only {cause}!", "{hero} held up the lamp. And what was it? It was {cause}."),
    ("They laughed so hard that {elder} woke up.", '"So that was the monster!" said {hero}, and {he} laughed.'),
    (
        "Back in bed {hero} was {happy}. Now {he} knew what the sound was.",
        "They ate some {food} and went back to sleep, {happy}.",
    ),
)
PLOTS: tuple[Plot, ...] = (LOST, SHARE, BRAVE, REPAIR, ANIMAL, RULE, GROW, RAIN, RACE, GIFT, PULL, NOISE)
